"""The differences between the scores of a compression's models, all over the same resamples of the examples."""

from collections.abc import Hashable, Mapping
from dataclasses import replace

from pkd_core.evaluation.paired_bootstrap import Answers, Difference, compare_methods
from pkd_core.report.compression.content import Gap
from pkd_core.report.results import COUNTED_METRICS


class Gaps:
    """The differences between every two of several answers to the same examples."""

    def __init__(self, answers: Mapping[Hashable, Answers], metric: str) -> None:
        """Compare them.

        Args:
            answers: By any key; the answers of several seeds count as one method.
            metric: Name of the score.
        """
        names = {key: f"{number}" for number, key in enumerate(answers)}
        found = compare_methods({names[key]: one for key, one in answers.items()}, metric)
        pairs = {(one.first, one.second): one for one in found}
        self._names = names
        self._pairs = pairs | {(second, first): _reversed(one) for (first, second), one in pairs.items()}
        first = next(iter(answers.values()))
        self._num_examples = len(first.labels_R) if metric in COUNTED_METRICS else None

    def between(self, first: Hashable, second: Hashable) -> Gap | None:
        """Return the first one's score minus the second's; None if they are the same or one was not measured."""
        one = self._pairs.get((self._names.get(first, ""), self._names.get(second, "")))
        if one is None:
            return None
        number = None if self._num_examples is None else round(one.difference * self._num_examples)
        # Each question is asked for itself: no correction for how many variants there are.
        is_clear = replace(one, corrected=one.p_value).is_distinguishable
        return Gap(one.difference, one.low, one.high, number, is_clear)


def _reversed(one: Difference) -> Difference:
    return replace(one, difference=-one.difference, low=-one.high, high=-one.low)
