"""A model's card names its origin, scores and settings, in the form that the Hugging Face hub reads."""

from dataclasses import fields, replace
from typing import Any

from pkd_core.data.glue import GLUE_TASKS, Task
from pkd_core.evaluation.result import EvaluationResult
from tasks.model_card import model_card

STUDENT: dict[str, Any] = {
    "task": "RTE",
    "method": "pkd-skip",
    "num_layers": 3,
    "seed": 7,
    "scores": {"dev/accuracy": 0.664},
    "selection": "dev/accuracy",
    "num_dev": 277,
    "parameters": 45_692_930,
    "size_bytes": 182_800_000,
    "best_epoch": 3,
    "precision": "bfloat16",
    "settings": {"student.learning_rate": 2e-5},
}


def card(
    base_model: str = "google-bert/bert-base-uncased",
    teacher_base_model: str | None = None,
    of: Task | None = None,
    **changes: Any,
) -> str:
    values = STUDENT | changes
    result = EvaluationResult(**{field.name: values.get(field.name) for field in fields(EvaluationResult)})
    return model_card(
        result,
        of or GLUE_TASKS[result.task],
        base_model=base_model,
        max_length=128,
        address="models:/pkd-RTE-3l/2",
        teacher_base_model=teacher_base_model,
    )


def test_a_student_s_card_is_readable_by_the_hub_and_by_people() -> None:
    text = card()
    assert text.startswith(
        "---\nbase_model: google-bert/bert-base-uncased\nlibrary_name: transformers\n"
        "pipeline_tag: text-classification\nmetrics:\n- accuracy\ntags:\n- pkd\n- pkd-skip\n---\n"
    )
    assert "A BERT of 3 layers for RTE, distilled from a fine-tuned teacher by `pkd-skip`." in text
    for line in (
        "| input | sentence1, sentence2 |",
        "| output | entailment, not_entailment |",
        "| seed | 7 |",
        "| parameters | 45,692,930 (182.8 MB) |",
        "| tokens of an example | at most 128 |",
        "| dev/accuracy | 66.4 |",
        "| student.learning_rate | 2e-05 |",
    ):
        assert line in text.splitlines()
    assert 'mlflow.pyfunc.load_model("models:/pkd-RTE-3l/2")' in text
    assert 'model.predict([["first text", "second text"]])' in text
    assert "license:" not in text


def test_a_base_model_that_is_a_folder_is_no_name_on_the_hub() -> None:
    text = card(base_model="my-bert")
    assert "base_model:" not in text
    assert "| base model | my-bert |" in text


def test_the_model_of_a_teacher_is_named_where_it_is_another() -> None:
    assert "| the teacher's base model | bert-large |" in card(teacher_base_model="bert-large")
    assert "the teacher's" not in card()


def test_a_teacher_has_the_seed_of_its_settings_and_a_score_its_range() -> None:
    text = card(task="STS-B", method="teacher", seed=None, settings={"teacher.seed": 42})
    assert "| seed | 42 |" in text
    assert "| output | a score from 0.0 to 5.0 |" in text
    assert "fine-tuned from the base model" in text


def test_a_card_says_that_a_text_may_have_several_labels() -> None:
    moods = replace(GLUE_TASKS["SST-2"], labels=("joy", "fear"), multi_label=True)
    assert "| output | any number of joy, fear |" in card(of=moods)
