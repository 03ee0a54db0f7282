"""A missing stage is explained by what has changed since the newest one of its name."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_bert import TASK

from pkd_core.config.settings import StatesConfig, TeacherConfig, TokensConfig
from pkd_core.pipeline.file_shape import FileShape
from pkd_core.pipeline.kinds import CODE_VERSIONS, StageKind
from pkd_core.pipeline.specs import ReportSpec, TeacherSpec, TeacherStatesSpec, TokensSpec
from pkd_core.pipeline.stage import Stage, make_stage
from pkd_core.pipeline.why import explain_missing
from pkd_core.store.catalog import Catalog
from pkd_core.store.manifest import Manifest, read_manifest, write_manifest
from pkd_core.store.stage_store import StageStore

Publish = Callable[..., Manifest]

RAW = {"raw/train": "a" * 64}
SOURCES = {"pretrained": "b" * 64}


def tokens(max_length: int = 16) -> Stage:
    spec = TokensSpec(task=FileShape.of(TASK), tokens=TokensConfig(max_length=max_length))
    return make_stage("Tiny", "tokens", spec, {}, RAW)


def teacher(sources: dict[str, str] = SOURCES, max_length: int = 16, **training: Any) -> Stage:
    values = {"learning_rate": 1e-5, "num_epochs": 4, "seed": 42, "batch_size": 32} | training
    spec = TeacherSpec(num_layers=4, metric="accuracy", training=TeacherConfig(**values))
    return make_stage("Tiny", "teacher", spec, {"tokens": tokens(max_length)}, sources)


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    """Publishes a stage with one file, as if at a day of 2026."""

    def do(stage: Stage, day: int = 1, **changes: Any) -> Manifest:
        store = StageStore(tmp_path)
        inputs = dict.fromkeys(stage.inputs, "c" * 32) | dict(stage.sources)
        with store.writing(stage.address, inputs) as work:
            (work / "model.safetensors").write_bytes(b"weights")
            version = CODE_VERSIONS[stage.kind]
            store.publish(stage.address, code_version=version, config=stage.config, inputs=inputs, facts={})
        folder = tmp_path / stage.address.folder
        created = f"2026-01-{day:02}T00:00:00+00:00"
        manifest = replace(read_manifest(folder), created=created, **changes)
        (folder / "manifest.json").unlink()
        write_manifest(folder, manifest)
        return manifest

    return do


def test_a_stage_that_was_never_built_is_just_not_built(tmp_path: Path) -> None:
    assert explain_missing(teacher(), Catalog(tmp_path)) == "not built yet"


def test_a_changed_setting_is_named_with_both_values(tmp_path: Path, publish: Publish) -> None:
    publish(teacher())
    assert explain_missing(teacher(batch_size=16), Catalog(tmp_path)) == ("training.batch_size is 16, was 32")


def test_a_changed_source_is_named(tmp_path: Path, publish: Publish) -> None:
    publish(teacher())
    assert explain_missing(teacher({"pretrained": "d" * 64}), Catalog(tmp_path)) == ("pretrained has changed")


def test_a_source_that_is_no_longer_read_is_named(tmp_path: Path, publish: Publish) -> None:
    publish(teacher(SOURCES | {"raw/test": "e" * 64}))
    assert explain_missing(teacher(), Catalog(tmp_path)) == "raw/test is gone"


def test_a_raised_code_version_is_named(
    tmp_path: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(teacher())
    monkeypatch.setattr("pkd_core.pipeline.why.CODE_VERSIONS", {StageKind.TEACHER: 7})
    reason = explain_missing(teacher(batch_size=16), Catalog(tmp_path))
    version = CODE_VERSIONS[StageKind.TEACHER]
    assert reason == (f"training.batch_size is 16, was 32; its code is version 7, was {version}")


def test_another_input_is_named_where_nothing_else_has_changed(tmp_path: Path, publish: Publish) -> None:
    publish(teacher())
    assert (
        explain_missing(teacher(max_length=32), Catalog(tmp_path)) == "built before from another tokens stage"
    )


def test_all_inputs_are_named_where_any_may_be_another(tmp_path: Path, publish: Publish) -> None:
    def states(max_length: int) -> Stage:
        inputs = {"tokens": tokens(max_length), "teacher": teacher(max_length=max_length)}
        return make_stage("Tiny", "teacher-states", TeacherStatesSpec(states=StatesConfig()), inputs, {})

    publish(states(16))
    reason = explain_missing(states(32), Catalog(tmp_path))
    assert reason == "built before from another tokens and teacher stage"


def test_changes_are_named_as_far_as_they_fit_into_a_line(tmp_path: Path, publish: Publish) -> None:
    publish(teacher())
    changed = teacher(batch_size=16, learning_rate=2e-5, num_epochs=3, seed=1)
    assert explain_missing(changed, Catalog(tmp_path)) == (
        "training.batch_size is 16, was 32; training.learning_rate is 2e-05, was 1e-05; and 2 more"
    )
    changed = teacher(num_epochs=3, seed=1)
    assert explain_missing(changed, Catalog(tmp_path)) == (
        "training.num_epochs is 3, was 4; training.seed is 1, was 42"
    )


def test_a_default_that_configurations_leave_out_is_named_with_its_value(
    tmp_path: Path, publish: Publish
) -> None:
    publish(teacher(), config=teacher().config | {"threads": 1})
    assert explain_missing(teacher(), Catalog(tmp_path)) == "threads is 4, was 1"


def report(*models: str) -> Stage:
    evaluations = {model: replace(teacher(), name=model.partition("/")[2]) for model in models}
    presets = dict.fromkeys(models, "a preset " * 20)
    return make_stage(
        "reports",
        "report",
        ReportSpec(base_model="bert", base_model_digest="w1", presets=presets, failures={}),
        evaluations,
        {},
    )


def test_a_report_counts_the_models_that_are_new_or_gone(tmp_path: Path, publish: Publish) -> None:
    publish(report("Tiny/a", "Tiny/b", "Tiny/c"))
    wanted = report("Tiny/a", "Tiny/d", "Tiny/e", "Tiny/f")
    expected = "other models than in the last one: 3 new, 2 gone"
    assert explain_missing(wanted, Catalog(tmp_path)) == expected


def test_a_report_after_one_with_failures_names_those(tmp_path: Path, publish: Publish) -> None:
    publish(report("Tiny/a"), config={"presets": {}, "failures": {"Tiny/b": "no space"}})
    assert explain_missing(report("Tiny/a", "Tiny/b"), Catalog(tmp_path)) == (
        "the last one lacks what had failed"
    )


def test_a_setting_that_is_new_or_gone_is_named(tmp_path: Path, publish: Publish) -> None:
    older = teacher(batch_size=16).config
    del older["training"]["precision"]
    older["training"]["dropout"] = 0.1
    publish(teacher(batch_size=16), config=older)
    assert explain_missing(teacher(), Catalog(tmp_path)) == (
        "training.batch_size is 32, was 16; training.dropout is None, was 0.1; and 1 more"
    )
    assert explain_missing(teacher(batch_size=16), Catalog(tmp_path)) == (
        "training.dropout is None, was 0.1; training.precision is auto, was None"
    )


def test_long_values_are_shortened(tmp_path: Path, publish: Publish) -> None:
    publish(teacher(), config=teacher().config | {"labels": [f"label {number}" for number in range(9000)]})
    assert len(explain_missing(teacher(), Catalog(tmp_path))) < 150


def test_the_comparison_is_with_the_newest_stage(tmp_path: Path, publish: Publish) -> None:
    publish(teacher(batch_size=8), day=3)
    publish(teacher(batch_size=64), day=9)
    publish(teacher(batch_size=128), day=5)
    assert explain_missing(teacher(), Catalog(tmp_path)) == "training.batch_size is 32, was 64"


def test_other_stages_and_unreadable_manifests_are_ignored(tmp_path: Path, publish: Publish) -> None:
    publish(replace(teacher(batch_size=8), name="teacher-states"))
    folder = tmp_path / teacher(batch_size=16).address.folder
    publish(teacher(batch_size=16))
    (folder / "manifest.json").write_text("{", encoding="utf-8")
    assert explain_missing(teacher(), Catalog(tmp_path)) == "not built yet"
