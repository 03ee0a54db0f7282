"""Whether distilling paid: all seeds of a method against all seeds that were fine-tuned on labels alone."""

from collections.abc import Hashable, Sequence
from statistics import fmean

from pkd_core.evaluation.paired_bootstrap import Answers
from pkd_core.report.compression.content import Distilling
from pkd_core.report.compression.gaps import Gaps
from pkd_core.report.compression.models import EvaluatedModel, answers_of, final_metric, seeds_of

_FINETUNE = "finetune"


def compare_with_finetuning(student: EvaluatedModel, others: Sequence[EvaluatedModel]) -> Distilling | None:
    """Compare the chosen student's method with plain fine-tuning, over the students of its shape.

    All are compared in PyTorch: that is the only format that every seed has. Where the chosen student was fine-tuned
    itself, the method with the best mean dev score is compared with that.

    Args:
        student: The chosen one.
        others: The other students.

    Returns:
        None if there are no fine-tuned students of its shape, or no distilled ones.
    """
    students = [student, *others]
    finetuned = seeds_of(_FINETUNE, student, students)
    methods = dict.fromkeys(one.result.method for one in students if one.shape == student.shape)
    if student.result.method != _FINETUNE:
        methods = dict.fromkeys([student.result.method])
    distilled = [seeds_of(method, student, students) for method in methods if method != _FINETUNE]
    if not finetuned or not distilled:
        return None
    best = max(distilled, key=lambda seeds: fmean(one.result.score for one in seeds))
    both: dict[Hashable, Answers] = {
        seeds[0].result.method: answers_of(*(one.answers for one in seeds)) for seeds in (best, finetuned)
    }
    gap = Gaps(both, final_metric(student)).between(best[0].result.method, _FINETUNE)
    assert gap is not None, "both methods were compared"
    starts = {one.result.settings.get("student.init") for one in (*best, *finetuned)}
    return Distilling(best[0].result.method, len(best), len(finetuned), gap, len(starts) == 1)
