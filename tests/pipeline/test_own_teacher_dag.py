"""Classifiers of the user's own as teachers: their stages, their labels, and what is refused before anything runs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dags import HASHES, MODEL, dag
from families import write_classifier

from pkd_core.config.classifier_settings import ClassifierSettings
from pkd_core.config.overrides import build_run_config
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.data.task import Task
from pkd_core.errors import ConfigError, ModelError
from pkd_core.pipeline.models import find_models
from pkd_core.pipeline.own_labels import label_order
from pkd_core.pipeline.own_teacher_specs import OwnTeacherSpec
from pkd_core.pipeline.own_teachers import OwnTeacher, find_own_teacher
from pkd_core.pipeline.specs import ReportSpec, StudentSpec

RTE_LABELS = ("entailment", "not_entailment")


def settings(
    family: str = "roberta", labels: tuple[str, ...] = RTE_LABELS, **changes: Any
) -> ClassifierSettings:
    values = {"model_type": family, "num_hidden_layers": 24, "hidden_size": 1024}
    names = {"id2label": {str(number): label for number, label in enumerate(labels)}}
    return ClassifierSettings.model_validate({**values, **names, **changes})


def teacher(name: str = "roberta", folder: str = "roberta", **changes: Any) -> OwnTeacher:
    return OwnTeacher(name, Path(folder), f"digest-{name}", settings(**changes))


OWN = teacher()
OWN_BERT = teacher("bert", "bert", family="bert")


def test_students_are_taken_from_their_model_and_read_the_states_of_the_given_teacher() -> None:
    stages, trained = dag(own_teachers=(OWN,)), dag()
    assert stages.keys() == trained.keys()
    spec = stages["RTE/teacher"].spec
    assert isinstance(spec, OwnTeacherSpec)
    assert spec.task == "RTE"
    assert (spec.families, spec.label_orders, spec.named) == (("roberta",), ((0, 1),), (True,))
    assert stages["RTE/teacher"].sources == {"own-teacher-1": "digest-roberta"}
    assert stages["RTE/teacher"].inputs == {}
    raw = {f"raw/{split}": digest for split, digest in HASHES.items()}
    assert stages["RTE/evaluation-teacher"].sources == raw
    assert stages["RTE/evaluation-teacher"].inputs == {"tokens": "RTE/tokens", "model": "RTE/teacher"}
    states = stages["RTE/teacher-states"]
    assert states.sources == raw
    assert states.inputs == {
        "tokens": "RTE/tokens",
        "teacher": "RTE/teacher",
        "evaluation": "RTE/evaluation-teacher",
    }
    assert stages["RTE/kd-6l-s1"].inputs == {"tokens": "RTE/tokens", "states": "RTE/teacher-states"}
    skip = stages["RTE/pkd-skip-6l-s1"].spec
    assert isinstance(skip, StudentSpec) and skip.layer_map is not None
    assert skip.layer_map == tuple(enumerate(range(4, 24, 4), start=1))
    assert stages["RTE/speed-6l"].inputs == {"tokens": "RTE/tokens", "teacher": "RTE/teacher"}


def test_nothing_of_what_does_not_read_the_teacher_is_another() -> None:
    given, trained = dag(own_teachers=(OWN,)), dag()
    same = {key for key in given if given[key].address == trained[key].address}
    # The evaluation of what is fine-tuned has its speed, which is measured against the teacher.
    assert same == {"RTE/tokens", "RTE/finetune-6l-s1"}


def test_the_report_names_teacher_and_students_model_and_reads_no_training_of_the_teacher() -> None:
    report = dag(own_teachers=(OWN,))["reports/report"]
    spec = report.spec
    assert isinstance(spec, ReportSpec) and spec.student_base is not None
    assert (spec.base_model, spec.base_model_digest) == ("roberta", "digest-roberta")
    assert (spec.student_base.name, spec.student_base.digest) == ("bert", "w1")
    assert spec.student_base.remark == (
        "Each teacher reads the texts with its own tokenizer, students with theirs."
    )
    assert spec.presets["RTE/evaluation-teacher"] == "given, not trained here"
    assert "RTE/teacher" not in report.inputs and "RTE/kd-6l-s1" in report.inputs


def test_students_of_a_bert_without_a_model_of_their_own_are_its_first_layers() -> None:
    stages = dag(own_teachers=(OWN_BERT,))
    spec = stages["reports/report"].spec
    assert isinstance(spec, ReportSpec)
    assert spec.student_base is None
    stages = dag({"student.init": "teacher-first"}, own_teachers=(OWN_BERT,), student_layers=[3])
    assert stages["RTE/kd-3l-s1"].inputs["teacher"] == "RTE/teacher"


def test_students_take_no_layers_of_several_teachers_of_which_one_is_their_model() -> None:
    model = replace(MODEL, name="bert", folder=OWN_BERT.folder)
    teachers = (OWN_BERT, OWN)
    report = dag(own_teachers=teachers, model=model, methods=["kd"])["reports/report"].spec
    assert isinstance(report, ReportSpec)
    assert report.student_base is not None
    with pytest.raises(ConfigError, match=r"teacher-skip .* takes the students' layers from the teacher"):
        dag({"distill.init": "teacher-skip"}, own_teachers=teachers, model=model, methods=["kd"])


def test_several_teachers_answer_together_and_have_no_states_to_compare_with() -> None:
    other = teacher("electra", "electra", family="electra", labels=RTE_LABELS[::-1])
    stages = dag(own_teachers=(OWN, other), methods=["finetune", "kd"])
    spec = stages["RTE/teacher"].spec
    assert isinstance(spec, OwnTeacherSpec)
    assert spec.label_orders == ((0, 1), (1, 0))
    assert not any(key.startswith("RTE/distances") for key in stages)
    with pytest.raises(ConfigError) as caught:
        dag(own_teachers=(OWN, other), methods=["kd", "pkd-skip", "pkd-last"])
    assert str(caught.value) == (
        "pkd-skip and pkd-last match the states of one teacher, and there are 2; give one --teacher, or "
        "--methods finetune,kd."
    )


def test_unlabelled_texts_are_read_as_texts_and_copies_of_tokens_are_refused() -> None:
    hashes = HASHES | {"unlabelled": "u"}
    stages = dag(own_teachers=(OWN,), hashes=hashes)
    assert stages["RTE/transfer-states"].sources == {"unlabelled": "u", "tokenizer": "t1"}
    assert stages["RTE/teacher-states"].sources.keys() == {f"raw/{split}" for split in HASHES}
    with pytest.raises(ConfigError, match="varies the students' tokens, and roberta reads texts"):
        dag({"transfer.num_copies": 1}, own_teachers=(OWN,), hashes=hashes)


SCORES = GLUE_TASKS["STS-B"]
RTE = GLUE_TASKS["RTE"]
NUMBERS = replace(RTE, labels=("0", "1"))


@pytest.mark.parametrize(
    ("task", "changes", "order", "named"),
    [
        (RTE, {"labels": ("Not_Entailment", " entailment")}, (1, 0), True),
        (RTE, {"labels": ("LABEL_0", "LABEL_1")}, (0, 1), False),
        (RTE, {"labels": ()} | {"id2label": None}, (0, 1), False),
        (NUMBERS, {"labels": ("NEGATIVE", "POSITIVE")}, (0, 1), False),
        (SCORES, {"labels": ("LABEL_0",)}, (0,), True),
        (SCORES, {"labels": ("LABEL_0",), "problem_type": "regression"}, (0,), True),
    ],
)
def test_outputs_are_put_into_the_order_of_the_labels(
    task: Task, changes: dict[str, Any], order: tuple[int, ...], named: bool
) -> None:
    assert label_order(teacher(**changes), task) == (order, named)


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        (
            RTE,
            {"labels": ("contradiction", "entailment", "neutral")},
            "roberta needs the 2 labels of RTE to teach it, and has 3 labels, without not_entailment, and with "
            "contradiction, neutral; give a teacher that was fine-tuned on these labels, or set id2label in its "
            "config.json if they have other names there.",
        ),
        (
            RTE,
            {"labels": ("LABEL_0", "LABEL_1", "LABEL_2")},
            "roberta needs the 2 labels of RTE to teach it, and has 3 labels, without entailment, not_entailment, and "
            "with LABEL_0, LABEL_1, LABEL_2; give a teacher that was fine-tuned on these labels, or set id2label in "
            "its config.json if they have other names there.",
        ),
        (
            RTE,
            {"labels": ("score",)},
            "RTE has 2 labels, and roberta answers with a score; give a teacher with an output for each label.",
        ),
        (
            SCORES,
            {},
            "STS-B has scores, and roberta answers with 2 labels; give a teacher with one output that was trained on "
            "scores.",
        ),
        (
            RTE,
            {"problem_type": "multi_label_classification"},
            "RTE has one label for each text, and roberta was trained to give any number of them; give a teacher that "
            "was trained as the task is.",
        ),
        (
            replace(RTE, multi_label=True),
            {"problem_type": "single_label_classification"},
            "RTE has any number of labels for each text, and roberta was trained to give one; give a teacher that was "
            "trained as the task is.",
        ),
    ],
)
def test_a_teacher_of_other_labels_is_refused(task: Task, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        label_order(teacher(**changes), task)
    assert str(caught.value) == message


def write(folder: Path, family: str = "roberta", **changes: Any) -> str:
    write_classifier(folder, family, ["a film", "a play"], ["down", "up"], **changes)
    return str(folder)


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def test_a_teacher_is_addressed_by_the_bytes_of_what_is_read(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b")
    first, second = find_own_teacher(str(tmp_path / "a")), find_own_teacher(str(tmp_path / "b"))
    assert first.digest == second.digest
    assert (first.short_name, first.settings.num_layers, first.settings.hidden_size) == ("a", 3, 24)
    (tmp_path / "b" / "README.md").write_text("no part of it", encoding="utf-8")
    (tmp_path / "b" / "training_args.bin").write_bytes(b"no part of it")
    assert find_own_teacher(str(tmp_path / "b")).digest == first.digest
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        write(tmp_path / "b")
        with (tmp_path / "b" / name).open("ab") as file:
            file.write(b" ")
        assert find_own_teacher(str(tmp_path / "b")).digest != first.digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model_type": "gpt2"},
            "is of the family 'gpt2'; give a --teacher of one of bert, roberta, xlm-roberta",
        ),
        (
            {"architectures": ["RobertaForMaskedLM"]},
            "needs to be a fine-tuned classifier (...ForSequenceClassification), and is a 'RobertaForMaskedLM'; "
            "fine-tune it first, or run without --teacher to have a BERT fine-tuned.",
        ),
        (
            {"num_hidden_layers": "three"},
            "expected a classifier's settings, but num_hidden_layers cannot be 'three'",
        ),
        ({"quantization_config": {"load_in_8bit": True}}, "but quantization_config cannot be"),
    ],
)
def test_what_is_no_classifier_is_refused_in_a_sentence(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    name = write(tmp_path / "a")
    edit(tmp_path / "a", **changes)
    with pytest.raises(ModelError) as caught:
        find_own_teacher(name)
    assert message in str(caught.value)


def test_students_need_a_bert(tmp_path: Path) -> None:
    roberta, bert = write(tmp_path / "a"), write(tmp_path / "b", "bert")
    default = build_run_config(tasks=["RTE"]).model
    with pytest.raises(ConfigError) as caught:
        find_models(default, None, [roberta])
    assert str(caught.value) == (
        f"students are taken from a BERT, and {roberta} is of the family roberta; give --student-model, such as "
        "--student-model google-bert/bert-base-uncased."
    )
    with pytest.raises(ConfigError, match="are several; give --student-model"):
        find_models(default, None, [bert, bert])
    with pytest.raises(ConfigError, match="give --student-model for the students' model"):
        find_models(bert, None, [roberta])
    models = find_models(default, None, [bert])
    assert (models.teacher.name, models.student_base, models.num_teacher_layers) == (bert, None, 3)
    models = find_models(default, bert, [roberta, bert])
    assert models.teacher_name == "a + b"
    assert models.command_of(
        build_run_config(tasks=["RTE"], teachers=[roberta, bert], student_model=bert)
    ) == ("pkd run RTE --student-model b --teacher a --teacher b")


def test_the_command_of_a_bert_alone_names_it_once(tmp_path: Path) -> None:
    bert = write(tmp_path / "b", "bert")
    run = build_run_config(tasks=["RTE"], teachers=[bert])
    assert find_models(run.model, None, [bert]).command_of(run) == "pkd run RTE --teacher b"
