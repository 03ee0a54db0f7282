"""Which methods can be told apart: the differences of their scores, with intervals, in points and in examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pkd_core.evaluation.paired_bootstrap import Answers, Difference, compare_methods
from pkd_core.report.results import COUNTED_METRICS, TEST, depth_name
from pkd_core.report.tables import Table


@dataclass(frozen=True)
class MethodAnswers:
    """What the seeds of one method and depth answered to a labelled split of its task.

    Attributes:
        task: Task name.
        num_layers: Depth.
        method: The student's method.
        answers: Labels and predictions.
        metric: Name of the selecting score.
        split: Name of the split.
    """

    task: str
    num_layers: int
    method: str
    answers: Answers
    metric: str
    split: str


@dataclass(frozen=True)
class ComparedPair:
    """Two methods of one task and depth.

    Attributes:
        task: Task name.
        num_layers: Depth.
        num_examples: Examples of the split, where a difference of scores is one of examples (accuracy); else None.
        num_seeds: The fewest seeds of the two.
        result: Their difference.
        split: The split that both were scored on.
    """

    task: str
    num_layers: int
    num_examples: int | None
    num_seeds: int
    result: Difference
    split: str


def compare_all(methods: Sequence[MethodAnswers]) -> list[ComparedPair]:
    """Compare every two methods of each task and depth; p-values are corrected within a task and depth."""
    pairs = []
    for task, num_layers in dict.fromkeys((one.task, one.num_layers) for one in methods):
        here = [one for one in methods if (one.task, one.num_layers) == (task, num_layers)]
        answers = {one.method: one.answers for one in here}
        seeds = {name: len(one.predictions_SR) for name, one in answers.items()}
        num_examples = len(here[0].answers.labels_R) if here[0].metric in COUNTED_METRICS else None
        for result in compare_methods(answers, here[0].metric):
            num_seeds = min(seeds[result.first], seeds[result.second])
            pairs.append(ComparedPair(task, num_layers, num_examples, num_seeds, result, here[0].split))
    return pairs


def differences_table(pairs: Sequence[ComparedPair]) -> Table:
    """Return a table with a row for each pair."""
    headings = ("layers", "split", "comparison", "difference", "95 % interval", "p", "p (Holm)", "verdict")
    return Table(headings, [_row(pair) for pair in pairs])


def verdict(pair: ComparedPair) -> str:
    """Return what the interval allows to say."""
    if not pair.result.is_distinguishable:
        return "not distinguishable"
    better = pair.result.first if pair.result.difference > 0 else pair.result.second
    return f"{better} is better"


def sentence(pair: ComparedPair) -> str:
    """Return a pair's difference in one short sentence, the better method first.

    Such as "pkd-skip leads finetune by 0.7 points (2 of 277 examples), interval -1.4 to 2.9: not distinguishable".
    """
    result = pair.result
    sign = -1 if result.difference < 0 else 1
    leader, other = (result.first, result.second)[::sign]
    low, high = sorted(100 * sign * value + 0.0 for value in (result.low, result.high))
    size = sign * result.difference
    examples = ""
    if pair.num_examples is not None:
        examples = f" ({_count(size * pair.num_examples)} of {pair.num_examples} examples)"
    lead = (
        f"{leader} leads {other} by {100 * size:.1f} points{examples}" if size else f"{leader} equals {other}"
    )
    end = "" if result.is_distinguishable else ": not distinguishable"
    return f"{lead}, interval {low:.1f} to {high:.1f}{end}"


def place(pair: ComparedPair) -> str:
    """Return where a pair was compared, such as "RTE, 3 layers" or "Reviews, 3 layers, test split"."""
    split = ", test split" if pair.split == TEST else ""
    return f"{pair.task}, {depth_name(pair.num_layers)}{split}"


def notes_on_differences(pairs: Sequence[ComparedPair]) -> list[str]:
    """Return what a reader needs to know of these intervals."""
    if not pairs:
        return []
    on_test = any(pair.split == TEST for pair in pairs)
    splits = "dev scores, and of test scores where the test split has labels" if on_test else "dev scores"
    texts = [
        f"Differences are of mean {splits}. Their 95 % intervals come from a bootstrap in which both methods are "
        "scored on the same resampled examples and on resampled seeds; p-values are corrected for the number of "
        "comparisons of a task and depth (Holm).",
    ]
    if any(pair.num_seeds == 1 for pair in pairs):
        texts.append(
            "Where a method has one seed, its interval says nothing of how far another seed may lie: train several."
        )
    return texts


def _row(pair: ComparedPair) -> list[str]:
    result = pair.result
    low, high = (f"{100 * value:+.1f}" for value in (result.low, result.high))
    return [
        str(pair.num_layers),
        pair.split,
        f"{result.first} - {result.second}",
        f"{100 * result.difference:+.1f}{_in_examples(pair)}",
        f"{low} to {high}",
        f"{result.p_value:.4f}",
        f"{result.corrected:.4f}",
        verdict(pair),
    ]


def _in_examples(pair: ComparedPair) -> str:
    if pair.num_examples is None:
        return ""
    return f" ({pair.result.difference * pair.num_examples:+.1f} of {pair.num_examples} examples)"


def _count(examples: float) -> str:
    """Return a mean number of examples over seeds: with a decimal only where it is not whole."""
    return f"{examples:.1f}".removesuffix(".0")


def by_task(pairs: Sequence[ComparedPair]) -> Mapping[str, list[ComparedPair]]:
    """Return the pairs of each task."""
    return {
        task: [pair for pair in pairs if pair.task == task] for task in dict.fromkeys(p.task for p in pairs)
    }
