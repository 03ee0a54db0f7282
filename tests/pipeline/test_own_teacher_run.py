"""A run with a teacher of the user's own: what it answers is stored for the students, in the order of their tokens."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from families import teach_classifier, write_classifier
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.data.token_table import TokenTable
from pkd_core.errors import ConfigError, ModelError, PkdError
from pkd_core.evaluation.answers import read_answers
from pkd_core.evaluation.result import read_result
from pkd_core.model.classifier_files import check_classifier
from pkd_core.pipeline.bundles import TrainedModel
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import make_plan
from pkd_core.pipeline.text_models import open_text_model
from pkd_core.store.address import StageRecord
from pkd_core.store.manifest import read_manifest
from pkd_core.teacher_states.reader import TeacherStates


def read_rows(root: Path, split: str) -> list[tuple[str, str]]:
    lines = (root / "data_raw" / "Tiny" / f"{split}.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return [(text, label) for text, label in (line.split("\t") for line in lines)]


def write_teacher(root: Path, family: str = "roberta", labels: tuple[str, ...] = ("Up", "Down")) -> str:
    """Write a classifier that has learnt the task, with its outputs in the order ("up", "down")."""
    rows = read_rows(root, "train")[:200]
    texts = [text for text, _ in rows]
    write_classifier(root / family, family, texts, labels, initializer_range=0.1)
    teach_classifier(root / family, texts, [int(label == "down") for _, label in rows], num_steps=60)
    return str(root / family)


def answer(folder: str | Path, texts: list[str]) -> np.ndarray:
    """Return the logits that plain transformers computes, one text at a time."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        logits = [model(**tokenizer(text, return_tensors="pt")).logits for text in texts]
    return torch.cat(logits).numpy()


def run(
    root: Path, teachers: list[str], last: str, student: str = "student", **settings: Any
) -> dict[str, StageRecord]:
    """Run the stages up to one."""
    config = build_run_config(
        tasks=["Tiny"],
        methods=["kd"],
        student_layers=[2],
        seeds=[1],
        teachers=teachers,
        student_model=str(root / student),
        settings=tiny.QUICK_STUDENT_SETTINGS | settings,
    )
    plan = make_plan(config, root, device="cpu")
    (number,) = (number for number, one in enumerate(plan.stages) if one.stage.key == last)
    return run_plan(replace(plan, stages=plan.stages[: number + 1]), RunOptions(device="cpu"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with data, a model for students, and a teacher."""
    root = tmp_path_factory.mktemp("own")
    tiny.write_tiny_task(root / "data_raw", num_train=120, num_dev=40)
    unlabelled = ["sentence", "a very good film", "A VERY GOOD FILM", "the play was bad", "a song", "a song"]
    unlabelled.append(read_rows(root, "train")[0][0])
    path = root / "data_raw" / "Tiny" / "unlabelled.tsv"
    path.write_text("\n".join(unlabelled) + "\n", encoding="utf-8")
    tiny.write_tiny_model(root / "student", 2)
    write_teacher(root)
    return root


def test_the_teachers_answers_are_those_of_transformers_in_the_order_of_labels_and_tokens(
    trained: Path,
) -> None:
    teacher = str(trained / "roberta")
    records = run(trained, [teacher], "Tiny/transfer-states")

    folder = trained / records["Tiny/teacher"].path
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        assert (folder / name).read_bytes() == (trained / "roberta" / name).read_bytes()
    assert str(trained) not in json.dumps(read_manifest(folder).config)

    rows = read_rows(trained, "dev")
    expected = answer(teacher, [text for text, _ in rows])[:, ::-1]
    evaluation = trained / records["Tiny/evaluation-teacher"].path
    answers, result = read_answers(evaluation, "dev"), read_result(evaluation)
    np.testing.assert_allclose(answers.logits_RC, expected, atol=2e-5)
    # Labels are ("down", "up").
    is_right = expected.argmax(axis=1) == [int(label == "up") for _, label in rows]
    assert result.scores["dev/accuracy"] == pytest.approx(is_right.mean())
    assert (result.method, result.best_epoch, result.hidden_size, result.num_layers) == (
        "teacher",
        None,
        24,
        3,
    )
    assert result.size_bytes == (trained / "roberta" / "model.safetensors").stat().st_size

    states = TeacherStates.open(trained / records["Tiny/teacher-states"].path)
    assert (states.shape.num_layers, states.shape.hidden_size, states.shape.num_outputs) == (3, 24, 2)
    tokens = TokenTable.load(trained / records["Tiny/tokens"].path, "train")
    targets = states.gather(torch.tensor(tokens.example_ids_R), [3])
    texts = [text for text, _ in read_rows(trained, "train")]
    np.testing.assert_allclose(targets.logits_BC.numpy(), answer(teacher, texts)[:, ::-1], atol=2e-5)

    transfer = TokenTable.load(trained / records["Tiny/transfer-set"].path, "transfer")
    labelled = TeacherStates.open(trained / records["Tiny/transfer-states"].path)
    targets = labelled.gather(torch.tensor(transfer.example_ids_R), [])
    # Texts that are the same to students count once, as they are written first.
    kept = answer(teacher, ["a very good film", "the play was bad", "a song"])[:, ::-1]
    np.testing.assert_allclose(targets.logits_BC.numpy(), kept, atol=2e-5)


def test_several_teachers_answer_with_the_mean_of_their_probabilities(trained: Path) -> None:
    write_teacher(trained, "electra", ("up", "down"))
    both = [str(trained / "roberta"), str(trained / "electra")]
    records = run(trained, both, "Tiny/teacher-states")
    texts = [text for text, _ in read_rows(trained, "train")]
    single = [torch.tensor(answer(folder, texts)[:, ::-1].copy()).softmax(dim=1) for folder in both]
    states = TeacherStates.open(trained / records["Tiny/teacher-states"].path)
    targets = states.gather(torch.arange(len(texts)), [])
    torch.testing.assert_close(
        targets.logits_BC.softmax(dim=1), torch.stack(single).mean(dim=0), atol=1e-5, rtol=0
    )
    folder = trained / records["Tiny/teacher"].path
    assert (folder / "2" / "model.safetensors").read_bytes() == (
        trained / "electra" / "model.safetensors"
    ).read_bytes()
    assert records["Tiny/teacher"].facts["families"] == ["roberta", "electra"]


def test_outputs_without_names_in_another_order_are_refused_with_the_names_to_write(trained: Path) -> None:
    path = write_teacher(trained, "bert", ("LABEL_0", "LABEL_1"))
    with pytest.raises(ConfigError) as caught:
        run(trained, [path], "Tiny/teacher-states")
    assert str(caught.value) == (
        f"the labels of {path} have no names, and its answers on dev fit another order than that of Tiny clearly "
        'better; if this is right, write it into its config.json: "id2label": {"0": "up", "1": "down"}.'
    )
    config = Path(path, "config.json")
    values = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps(values | {"id2label": {"0": "up", "1": "down"}}), encoding="utf-8")
    records = run(trained, [path], "Tiny/evaluation-teacher")
    assert records["Tiny/evaluation-teacher"].facts["score"] > 0.7


def test_a_teacher_that_has_learnt_nothing_is_warned_of(
    trained: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = trained / "constant"
    write_classifier(folder, "bert", ["a film"], ("down", "up"))
    weights = load_file(folder / "model.safetensors")
    for name in ("classifier.weight", "classifier.bias"):
        weights[name].zero_()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    run(trained, [str(folder)], "Tiny/teacher-states")
    (warning,) = [message for message in caplog.messages if "needs a teacher" in message]
    assert warning.startswith(
        "Tiny/teacher-states needs a teacher that is better than always giving the most frequent answer"
    )
    assert warning.endswith("; give another --teacher (--strict stops here)")


def test_a_teacher_that_changes_after_the_plan_is_refused(trained: Path) -> None:
    write_classifier(trained / "changing", "bert", ["a film"], ("down", "up"))
    config = build_run_config(
        tasks=["Tiny"],
        methods=["kd"],
        student_layers=[2],
        teachers=[str(trained / "changing")],
        student_model=str(trained / "student"),
        settings=tiny.QUICK_STUDENT_SETTINGS,
    )
    plan = make_plan(config, trained, device="cpu")
    with (trained / "changing" / "tokenizer.json").open("a", encoding="utf-8") as file:
        file.write(" ")
    with pytest.raises(PkdError, match="needs own-teacher-1 as it was when the run was planned"):
        run_plan(replace(plan, stages=plan.stages[:2]), RunOptions(device="cpu"))


def test_pkd_predict_answers_with_a_classifier_of_another_family(trained: Path) -> None:
    texts = ["a very good film", "the play was bad", "fine"]
    model = open_text_model(TrainedModel(trained / "roberta", None, None), "cpu")
    assert (model.labels, model.kind) == (("Up", "Down"), "classes")
    np.testing.assert_allclose(
        model.logits([(text,) for text in texts]), answer(trained / "roberta", texts), atol=2e-5
    )


def test_a_classifier_without_a_head_or_of_other_outputs_is_refused_before_anything_runs(
    trained: Path,
) -> None:
    folder = trained / "headless"
    write_classifier(folder, "roberta", ["a film"], ("down", "up"))
    weights = load_file(folder / "model.safetensors")
    body = {name: weight for name, weight in weights.items() if not name.startswith("classifier.")}
    save_file(body, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        ModelError, match="needs a classifier's weights, and has none, as if it had been pretrained"
    ):
        check_classifier("headless", folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    labels = {"id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"a": 0, "b": 1, "c": 2}}
    (folder / "config.json").write_text(json.dumps(config | labels), encoding="utf-8")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"has a classifier of 2 outputs and a config\.json with 3 labels"):
        check_classifier("headless", folder)


SCORES = 'texts = ["sentence"]\nlabel = "label"\nlabel_range = [0.0, 5.0]\nmetrics = ["pearson"]\n'
SEVERAL = 'texts = ["sentence"]\nlabel = "label"\nlabels = ["good", "bad"]\n'
SEVERAL += 'multi_label = true\nmetrics = ["micro_f1"]\n'


@pytest.mark.parametrize(
    ("task_file", "label_of", "labels", "problem", "columns"),
    [
        (SCORES, lambda number: f"{number % 5}.5", ("LABEL_0",), "regression", [0]),
        (
            SEVERAL,
            lambda number: ("good", "bad", "good|bad")[number % 3],
            ("BAD", "GOOD"),
            "multi_label_classification",
            [1, 0],
        ),
    ],
    ids=["scores", "several labels"],
)
def test_teachers_of_scores_and_of_several_labels(
    task_file: str,
    label_of: Callable[[int], str],
    labels: tuple[str, ...],
    problem: str,
    columns: list[int],
    tmp_path: Path,
) -> None:
    tiny.write_tiny_task(tmp_path / "data_raw", num_train=20, num_dev=10)
    folder = tmp_path / "data_raw" / "Tiny"
    (folder / "task.toml").write_text(task_file, encoding="utf-8")
    (folder / "test.tsv").unlink()
    for split in ("train", "dev"):
        rows = [f"{text}\t{label_of(row)}" for row, (text, _) in enumerate(read_rows(tmp_path, split))]
        (folder / f"{split}.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n", encoding="utf-8")
    tiny.write_tiny_model(tmp_path / "student", 2)
    texts = [text for text, _ in read_rows(tmp_path, "train")]
    write_classifier(tmp_path / "electra", "electra", texts, labels, problem_type=problem)
    records = run(tmp_path, [str(tmp_path / "electra")], "Tiny/kd-2l-s1")
    states = TeacherStates.open(tmp_path / records["Tiny/teacher-states"].path)
    logits = states.gather(torch.arange(len(texts)), []).logits_BC.numpy()
    np.testing.assert_allclose(logits, answer(tmp_path / "electra", texts)[:, columns], atol=2e-5)


def test_a_teacher_whose_scores_are_in_another_unit_is_refused(tmp_path: Path) -> None:
    tiny.write_tiny_task(tmp_path / "data_raw", num_train=20, num_dev=24)
    tiny.write_tiny_model(tmp_path / "student", 2)
    folder = tmp_path / "data_raw" / "Tiny"
    (folder / "test.tsv").unlink()
    texts = [text for text, _ in read_rows(tmp_path, "dev")]
    write_classifier(tmp_path / "bert", "bert", texts, ("LABEL_0",), problem_type="regression")
    given = answer(tmp_path / "bert", texts)[:, 0]
    (folder / "task.toml").write_text(SCORES.replace("5.0", "900.0"), encoding="utf-8")

    def write_scores(scale: float) -> None:
        rows = [f"{text}\t{scale * (one - given.min()):.4f}" for text, one in zip(texts, given, strict=True)]
        for split in ("train", "dev"):
            (folder / f"{split}.tsv").write_text(
                "\n".join(["sentence\tlabel", *rows]) + "\n", encoding="utf-8"
            )

    write_scores(100.0)
    with pytest.raises(ConfigError) as caught:
        run(tmp_path, [str(tmp_path / "bert")], "Tiny/evaluation-teacher")
    assert str(caught.value) == (
        f"the scores of Tiny are from 0 to {100 * np.ptp(given):.4g} on dev, and those of {tmp_path / 'bert'} follow "
        f"them in another unit, from {given.min():.4g} to {given.max():.4g}: students would learn to answer between "
        "the two; give the data's scores in the teacher's unit, or a teacher that was trained on scores like these."
    )
