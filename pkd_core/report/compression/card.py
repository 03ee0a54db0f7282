"""The model card of a compressed classifier: a README.md in the form of the Hugging Face hub."""

from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from pkd_core.report.card_text import LICENSE, hub_name
from pkd_core.report.cells import markdown_table, points
from pkd_core.report.compression.content import Compression, Training, Variant
from pkd_core.report.compression.page import class_table, lengths, settings_of
from pkd_core.report.compression.table import variants_table
from pkd_core.report.compression.usage import usages
from pkd_core.report.compression.verdict import judge
from pkd_core.report.compression.words import constant_answer, model_name, score_name, share, where
from pkd_core.report.tables import Table

_TEMPLATE = Path(__file__).with_name("card.md")
# The hub's names of scores.
_HUB_METRICS = {
    "macro_f1": "f1",
    "micro_f1": "f1",
    "subset_accuracy": "accuracy",
    "matthews": "matthews_correlation",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
}


def model_card(compression: Compression) -> str:
    """Return the card as Markdown; nothing is asked of the network."""
    title = f"{compression.task}: {model_name(compression, compression.student)}"
    card = ModelCard.from_template(
        _card_data(compression),
        template_path=str(_TEMPLATE),
        title=title,
        about=_about(compression),
        facts=markdown_table(("", ""), list(_facts(compression))),
        score=score_name(compression),
        num_examples=compression.num_examples,
        split=compression.split,
        constant=constant_answer(compression),
        baseline=points(compression.baseline),
        timed=_timed(compression),
        figures=_markdown(variants_table(compression)),
        verdict=judge(compression),
        usages=usages(compression),
        data=markdown_table(("", ""), list(_data(compression))),
        classes=_markdown(class_table(compression)) if compression.classes else "",
        limits=list(_limits(compression)),
        settings=markdown_table(("setting", "value"), settings_of(compression)),
        license=LICENSE,
    )
    return str(card)


def _card_data(compression: Compression) -> ModelCardData:
    student, training = _torch_student(compression), compression.training
    metric = _HUB_METRICS.get(compression.metric, compression.metric)
    assert student.score is not None, "the student was evaluated"
    result = EvalResult(
        task_type="text-classification",
        dataset_type=compression.task,
        dataset_name=compression.task,
        dataset_split=compression.split,
        metric_type=metric,
        metric_name=f"{score_name(compression)} on {compression.split}",
        metric_value=round(student.score, 4),
    )
    return ModelCardData(
        model_name=f"{compression.task}-{student.model}",
        library_name="transformers",
        pipeline_tag="text-classification",
        base_model=hub_name(training.student_base),
        metrics=[metric],
        tags=["pkd", student.method],
        eval_results=[result],
    )


def _torch_student(compression: Compression) -> Variant:
    found = compression.find("student", "torch-float32")
    assert found is not None, "the student was evaluated"
    return found


def _about(compression: Compression) -> str:
    student, training = compression.student, compression.training
    how = "fine-tuned on labels alone"
    if student.method != "finetune":
        how = f"distilled from {_teacher(training)} by `{student.method}`"
    kind = (
        "a score"
        if not compression.labels
        else "any number of labels"
        if compression.is_multi_label
        else "a label"
    )
    return (
        f"A BERT of {student.num_layers} layers that gives a text {kind}, {how}. Made with pkd "
        f"{compression.versions.get('pkd', '')}."
    )


def _teacher(training: Training) -> str:
    return (
        f"the classifier {training.teacher}"
        if training.has_own_teacher
        else f"{training.teacher}, fine-tuned"
    )


def _facts(compression: Compression) -> Iterator[tuple[str, str]]:
    student, training = _torch_student(compression), compression.training
    yield "task", compression.task
    yield "input", ", ".join(compression.text_columns)
    yield "output", ", ".join(compression.labels) or "a score"
    yield "teacher", _teacher(training)
    yield "layers from", training.student_base
    yield "method", student.method
    yield "tokens of a text", f"at most {compression.data.max_length}"


def _timed(compression: Compression) -> str:
    if compression.machine is None:
        return ""
    return f"Times are of one text at a time, with tokenising, on {where(compression.machine)}. "


def _data(compression: Compression) -> Iterator[tuple[str, str]]:
    data = compression.data
    for split, number in data.rows.items():
        yield split, f"{number} examples"
    yield "length of training texts", lengths(compression)
    yield f"as long as the limit of {data.max_length} tokens", share(data.share_cut)


def _limits(compression: Compression) -> Iterator[str]:
    yield (
        "It has learnt from texts like those of its training data; on texts of another kind or language, measure it "
        "before you trust it."
    )
    yield f"Of a longer text, what is beyond {compression.data.max_length} tokens is not read."
    rare = [label for label, number in compression.data.label_counts.items() if number < 10]
    if rare:
        yield f"Labels with fewer than 10 training examples are hardly learnt: {', '.join(rare)}."
    if compression.is_multi_label:
        yield (
            "A text gets every label with a probability of 0.5 and more: several, one or none. Probabilities are not "
            "calibrated; where a missed label costs more than a wrong one, or the reverse, choose another threshold on "
            "data of your own."
        )
    elif compression.labels:
        yield "Probabilities are not calibrated, and every text gets an answer, one of no known label too."
    else:
        yield "Every text gets a score, one of another kind too, and nothing keeps it within the range of the data."


def _markdown(table: Table) -> str:
    return markdown_table(table.headings, table.rows)
