"""What a compression brought, in plain sentences: what there was, what there is, what it cost, and whether it paid."""

from collections.abc import Iterator
from dataclasses import dataclass

from pkd_core.report.cells import points
from pkd_core.report.compression.content import Compression, Distilling, Variant
from pkd_core.report.compression.words import (
    compared,
    constant_answer,
    interval,
    megabytes,
    milliseconds,
    p50,
    p99,
    score_name,
    share,
    times,
    variant_name,
)

_ROUNDING = 1e-9
# Ratios nearer to one are not worth a number.
_SAME = 0.05
_TEACHERS = "the teacher's"


@dataclass(frozen=True)
class Verdict:
    """Sentences for readers.

    Attributes:
        had: The teacher in PyTorch, to follow "you had".
        have: The student in the format to be used, to follow "you have".
        cost: How its score differs.
        objections: Why the compression, or a part of it, did not pay; empty if all of it did.
        remarks: What else must be known.
    """

    had: str
    have: str
    cost: str
    objections: tuple[str, ...]
    remarks: tuple[str, ...]


def judge(compression: Compression) -> Verdict:
    """Return what a compression brought."""
    return Verdict(
        had=f"{_described(compression, compression.teacher)}.",
        have=f"{_described(compression, compression.student)}{_gain(compression)}.",
        cost=_cost(compression),
        objections=tuple(_objections(compression)),
        remarks=tuple(_remarks(compression)),
    )


def _described(compression: Compression, variant: Variant) -> str:
    facts = [f"{score_name(compression)} {points(variant.score)} ({interval(variant)})"]
    if variant.size_bytes:
        facts.append(f"{megabytes(variant.size_bytes)} MB")
    if variant.timing:
        facts.append(f"{p50(variant)} ms a text (p99 {p99(variant)} ms)")
    return f"{variant_name(compression, variant)}: {', '.join(facts)}"


def _gain(compression: Compression) -> str:
    teacher, student = compression.teacher, compression.student
    parts = []
    if teacher.timing and student.timing:
        parts.append(
            _ratio_in_words(teacher.timing.p50_ms / student.timing.p50_ms, "as fast", "faster", "slower")
        )
    if teacher.size_bytes and student.size_bytes:
        parts.append(
            _ratio_in_words(teacher.size_bytes / student.size_bytes, "as large", "smaller", "larger")
        )
    return f"; that is {' and '.join(parts)}" if parts else ""


def _ratio_in_words(ratio: float, same: str, more: str, less: str) -> str:
    """Return a teacher's value by the student's as "2.3 times faster", "3 times slower" or "as fast"."""
    if abs(ratio - 1) < _SAME:
        return same
    return f"{times(ratio)} times {more}" if ratio > 1 else f"{times(1 / ratio)} times {less}"


def _cost(compression: Compression) -> str:
    student = compression.student
    sentence = f"Its score is {compared(student.vs_teacher, compression, _TEACHERS)}"
    if student.agreement is None:
        return f"{sentence}."
    return f"{sentence}. It gives the teacher's answer to {share(student.agreement)} of the examples."


def _objections(compression: Compression) -> Iterator[str]:
    student = compression.student
    if student.score is not None and student.score <= compression.baseline + _ROUNDING:
        yield (
            f"The student is no better than always giving the {constant_answer(compression)} "
            f"({points(compression.baseline)}): do not use it."
        )
    yield from _about_quantised_teacher(compression)
    yield from _about_finetuning(compression)
    int8 = compression.find("student", "onnx-int8")
    if int8 and int8.refused:
        yield int8.refused


def _about_quantised_teacher(compression: Compression) -> Iterator[str]:
    """Compare with what quantising the teacher alone brings."""
    quantised, student = compression.find("teacher", "onnx-int8"), compression.student
    if quantised is None or quantised.refused or quantised.timing is None or student.timing is None:
        return
    takes = f"the teacher in int8 takes {p50(quantised)} ms a text (p99 {p99(quantised)} ms)"
    scores = f"Its score is {compared(quantised.vs_teacher, compression, 'before')}."
    if quantised.timing.p50_ms <= student.timing.p50_ms:
        yield (
            f"Distilling did not pay: {takes}, and the student {p50(student)} ms. {scores} Use the teacher in int8, or "
            "a student of fewer layers."
        )
        return
    if compression.budget_ms is not None and quantised.timing.p99_ms <= compression.budget_ms:
        yield (
            f"Distilling was not needed to keep to {milliseconds(compression.budget_ms)} ms: {takes}. {scores} The "
            f"student is {_ratio(quantised, student)} times faster than that."
        )
        return
    float32 = compression.find("student", "onnx-float32")
    if float32 and float32.timing and quantised.timing.p50_ms <= float32.timing.p50_ms:
        yield (
            f"Quantising alone is worth more than distilling alone: {takes}, and the student in float32 {p50(float32)} "
            f"ms. {scores} The student in int8 is {_ratio(quantised, student)} times faster than that."
        )


def _ratio(slower: Variant, faster: Variant) -> str:
    assert slower.timing is not None and faster.timing is not None, "both were timed"
    return times(slower.timing.p50_ms / faster.timing.p50_ms)


def _about_finetuning(compression: Compression) -> Iterator[str]:
    """Say where the teacher was of no use to the student."""
    found = compression.distilling
    if found is None:
        return
    if compression.student.method == "finetune":
        yield _fine_tuning_chosen(compression, found)
        return
    if found.paid:
        return
    if found.gap.difference < 0 and found.gap.is_distinguishable:
        did = "Distilling did harm"
    else:
        did = "Distilling cannot be told apart from plain fine-tuning"
    yield f"{did}. {_method_compared(compression, found)}"


def _fine_tuning_chosen(compression: Compression, found: Distilling) -> str:
    best = f"on dev, no method was better than fine-tuning {_alone(compression)}, which was chosen"
    compared_with = _method_compared(compression, found)
    if found.paid:
        return (
            f"Distilling paid, but was not chosen: {best}. {compared_with} To have a student of it, add --methods "
            f"{found.method}."
        )
    return f"Distilling did not pay: {best}. {compared_with}"


def _method_compared(compression: Compression, found: Distilling) -> str:
    """Return how a method's score differs from that of fine-tuning, and how many seeds that rests on."""
    layers = "" if found.start_alike else ", from other layers"
    if found.num_seeds == found.num_finetuned == 1:
        same = "the same student" if found.start_alike else "a student"
        than = f"that of {same} fine-tuned {_alone(compression)}{layers}"
        return (
            f"In PyTorch, the score of {found.method} is {compared(found.gap, compression, than)}. This rests "
            "on one seed of each method: more seeds (--seeds 1,2,3) say it more surely."
        )
    seeds = f"{found.num_seeds} seeds" if found.num_seeds > 1 else "one seed"
    finetuned = f"{found.num_finetuned} that were" if found.num_finetuned > 1 else "one that was"
    than = f"that of {finetuned} fine-tuned {_alone(compression)}{layers}"
    return f"In PyTorch, the mean score of {seeds} of {found.method} is {compared(found.gap, compression, than)}."


def _alone(compression: Compression) -> str:
    """Return what plain fine-tuning learns from."""
    return "on the teacher's labels alone" if compression.labelled_by else "on the labels alone"


def _remarks(compression: Compression) -> Iterator[str]:
    student, found = compression.student, compression.distilling
    if found is not None and found.paid and student.method != "finetune":
        yield f"Distilling paid. {_method_compared(compression, found)}"
    if compression.budget_ms is not None and student.timing is not None:
        keeps = student.timing.p99_ms <= compression.budget_ms
        yield (
            f"99 of 100 texts take at most {p99(student)} ms, which is {'within' if keeps else 'more than'} the "
            f"{milliseconds(compression.budget_ms)} ms that were asked for."
        )
    if compression.labelled_by:
        yield (
            f"The data have no labels of their own: {compression.labelled_by} gave them. Scores are agreement with it, "
            "and do not say how often it is right."
        )
    if compression.split == "dev":
        yield (
            "There is no labelled test split: scores are of dev, which has chosen the epochs and the student too. "
            "Expect a little less on new texts."
        )
    if compression.machine and compression.machine.is_busy:
        yield (
            "The machine was busy while it was timed: the times are those of the processor, and a clock shows more."
        )
