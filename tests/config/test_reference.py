"""Every setting is explained, what no method reads is refused, and a value's source is named."""

from functools import partial
from typing import get_args

import pytest
from config.settings_page import PAGE, settings_page

from pkd_core.config.compress import build_compress_config
from pkd_core.config.distill_settings import DistillConfig
from pkd_core.config.overrides import build_run_config, setting_keys
from pkd_core.config.readers import check_settings_are_read, methods_reading
from pkd_core.config.reference import (
    all_settings,
    explain_settings,
)
from pkd_core.config.settings import Method
from pkd_core.errors import ConfigError
from pkd_core.pipeline.specs import distill_spec


def test_every_setting_is_explained() -> None:
    settings = all_settings()
    assert tuple(one.key for one in settings) == setting_keys()
    assert [one.key for one in settings if len(one.meaning) < 15] == []


@pytest.mark.parametrize(
    ("key", "kind", "bounds"),
    [
        ("tokens.max_length", "integer", "8 to 512"),
        ("teacher.learning_rate", "number", "1e-30 to 1e+30"),
        ("teacher.seed", "integer", "0 to 9223372036854775807"),
        ("distill.normalize", "true or false", ""),
        ("student.precision", "auto, float32 or bfloat16", ""),
    ],
)
def test_type_and_bounds_are_those_that_are_checked(key: str, kind: str, bounds: str) -> None:
    (setting,) = (one for one in all_settings() if one.key == key)
    assert (setting.type, setting.bounds) == (kind, bounds)


def test_the_page_is_that_of_the_models() -> None:
    assert PAGE.read_text(encoding="utf-8") == settings_page(), (
        "docs/settings.md is old: run `make settings`."
    )


@pytest.mark.parametrize("method", get_args(Method))
def test_a_method_reads_the_distillation_settings_that_its_stage_is_given(method: Method) -> None:
    spec = distill_spec(method, DistillConfig())
    given = set() if spec is None else {f"distill.{name}" for name in type(spec).model_fields}
    if spec is not None:
        # These become its student.num_epochs and student.init.
        given |= {"distill.num_epochs", "distill.init"}
    assert {
        key for key in setting_keys() if key.startswith("distill.") and method in methods_reading(key)
    } == given


@pytest.mark.parametrize(
    ("methods", "key", "readers"),
    [
        (["finetune"], "distill.temperature", "kd, pkd-skip, pkd-last, kd.full"),
        (["finetune", "kd"], "distill.beta", "pkd-skip, pkd-last"),
        (["finetune"], "states.dtype", "kd, pkd-skip, pkd-last, kd.full"),
    ],
)
def test_a_setting_without_effect_is_refused_with_the_methods_that_read_it(
    methods: list[Method], key: str, readers: str
) -> None:
    with pytest.raises(
        ConfigError, match=f"{key} has no effect on {' and '.join(methods)}: only {readers} read"
    ):
        check_settings_are_read({key: 0.5}, methods)


def test_a_setting_that_one_method_of_several_reads_is_accepted() -> None:
    check_settings_are_read({"distill.beta": 3.0, "student.num_epochs": 1}, ["finetune", "pkd-last"])


@pytest.mark.parametrize(
    ("loss", "key", "readers"),
    [
        (None, "distill.dkd_other_weight", "with distill.distillation_loss=kl, but only with dkd"),
        ("kl", "distill.dkd_target_weight", "with distill.distillation_loss=kl, but only with dkd"),
        (
            "logits-mse",
            "distill.temperature",
            "with distill.distillation_loss=logits-mse, but only with kl or dkd",
        ),
    ],
)
def test_a_setting_that_the_chosen_loss_does_not_read_is_refused(
    loss: str | None, key: str, readers: str
) -> None:
    given: dict[str, object] = {key: 2.0} | ({} if loss is None else {"distill.distillation_loss": loss})
    with pytest.raises(
        ConfigError, match=f"{key} has no effect {readers}; leave it out, or choose another loss"
    ):
        check_settings_are_read(given, ["kd"])


def test_the_chosen_loss_reads_its_own_settings() -> None:
    given = {"distill.distillation_loss": "dkd", "distill.dkd_other_weight": 2.0, "distill.temperature": 4.0}
    check_settings_are_read(given, ["kd"])


@pytest.mark.parametrize("key", [key for key in setting_keys() if key.startswith(("export.", "latency."))])
def test_what_only_a_compression_reads_is_refused_by_a_run_and_taken_by_a_compression(key: str) -> None:
    settings = {key: 0.5 if key == "export.max_changed" else 100}
    sentence = (
        f"{key} has no effect here, as only `pkd compress` exports and times models for use; leave it out"
    )
    with pytest.raises(ConfigError, match=sentence):
        build_run_config(tasks=["RTE"], settings=settings)
    assert build_compress_config(settings=settings).settings == settings
    (setting,) = (one for one in all_settings() if one.key == key)
    assert setting.description.endswith(" Read by `pkd compress` alone.")


def test_settings_of_a_teacher_s_training_are_refused_where_it_is_given() -> None:
    sentence = (
        "teacher.num_epochs has no effect on a teacher that is fine-tuned already; leave it out, or leave out"
    )
    settings = {"teacher.num_epochs": 2}
    for build in (build_compress_config, partial(build_run_config, tasks=["RTE"])):
        assert build(settings=settings).settings == settings
        with pytest.raises(ConfigError, match=sentence):
            build(settings=settings, teachers=["mine"])


@pytest.mark.parametrize(
    "name", ["mlm_probability", "mask_probability", "swap_probability", "ngram_probability", "seed"]
)
def test_how_copies_differ_has_no_effect_without_copies(name: str) -> None:
    settings = {f"transfer.{name}": 1}
    with pytest.raises(
        ConfigError, match=f"transfer.{name} has no effect without copies; set transfer.num_copies"
    ):
        check_settings_are_read(settings, ["kd"])
    check_settings_are_read(settings | {"transfer.num_copies": 2}, ["kd"])


def test_the_source_of_each_value_is_named() -> None:
    values = {
        one.setting.key: (one.value, one.source)
        for one in explain_settings("RTE", "kd", (6, 12, 12), {"distill.alpha": "0.25"})
    }
    assert values["distill.alpha"] == (0.25, "given")
    assert values["distill.temperature"] == (20.0, "kd_6layer best RTE")
    assert values["teacher.learning_rate"][1] == "teacher_12layer best RTE"
    assert values["student.weight_decay"] == (0.01, "default")
    assert "distill.beta" not in values


def test_without_a_task_every_value_is_the_default() -> None:
    values = explain_settings(None, "pkd-skip", (6, 12, 12), {})
    assert {one.source for one in values} == {"default"}
    read = [one for one in all_settings() if "pkd-skip" in one.methods]
    assert [one.value for one in values] == [one.default for one in read]
    assert {one.key for one in all_settings()} - {one.key for one in read} == {
        "distill.first_head_layer",
        "distill.head_weight",
    }
