"""The notes that a reader needs to interpret a report's numbers."""

from collections.abc import Mapping, Sequence

from pkd_core.report.cells import ABSENT, points, remark
from pkd_core.report.first_weights import different_starts
from pkd_core.report.results import TEST, Group, by_task


def notes(groups: Sequence[Group], failures: Mapping[str, str]) -> list[str]:
    """Return the notes that apply to these results, each of one or two sentences."""
    students = [group for group in groups if group.method != "teacher"]
    single = list(dict.fromkeys(group.task for group in students if len(group.rows) == 1))
    texts = [
        *_splits(groups),
    ]
    if any(len(group.rows) > 1 for group in groups):
        texts.append("± is the sample standard deviation over seeds, whose number stands in brackets.")
    if single:
        texts.append(
            f"{', '.join(single)}: figures from one seed show little, another seed may well turn the order of the "
            "methods around. Train several seeds before ranking them."
        )
    if any(group.interval for group in groups):
        texts.append(
            "The 95 % interval (Wilson's) says how far an accuracy on so few examples may lie from that on many; "
            "seeds are not part of it. Models whose intervals overlap much may well be in another order."
        )
    if any(group.gap_to_teacher is not None for group in students):
        texts.append(
            "Gap closed is the part of the way from fine-tuning at the same depth (0 %) to the teacher (100 %). It is "
            f"not given ({ABSENT}) where the teacher does not lead, or where the fine-tuned accuracy lies within the "
            "teacher's 95 % interval."
        )
    texts = [*_nothing_learnt(groups), *texts]
    texts += _teachers_behind(groups) + _first_weights(students) + _speeds(students) + _skipped_lines(groups)
    if failures:
        texts.append(f"Not everything that was asked for is here: {len(failures)} failed, named above.")
    return texts


def _splits(groups: Sequence[Group]) -> list[str]:
    """Say which splits the scores are of, and what becomes of test splits without labels."""
    on_test = {task: of_task[0].final_split == TEST for task, of_task in by_task(groups).items()}
    texts = []
    if not all(on_test.values()) or not on_test:
        others = "" if not any(on_test.values()) else ", where no other is named"
        texts.append(
            f"Scores are × 100, on the dev split{others}, at the epoch that scored best there: a little high for "
            "unseen data."
        )
    if final := ", ".join(task for task, is_on_test in on_test.items() if is_on_test):
        texts.append(
            f"{final}: scores are × 100, on the test split, at the epoch that scored best on dev. The test split chose "
            "nothing, so these are the final figures; intervals, gaps and differences are of them."
        )
    if not all(on_test.values()):
        texts.append(
            "Test splits carry no labels: they are predicted and written as submission files, and never scored."
        )
    return texts


def _nothing_learnt(groups: Sequence[Group]) -> list[str]:
    texts = []
    for task, of_task in by_task(groups).items():
        marked: dict[str, list[str]] = {}
        for group in of_task:
            marked.setdefault(remark(group), []).append(group.name)
        marked.pop("", None)
        if marked:
            named = ". ".join(f"{text.capitalize()}: {'; '.join(names)}" for text, names in marked.items())
            baseline = points(of_task[0].rows[0].baseline)
            texts.append(
                f"{task}: the most frequent answer scores {baseline}. {named}. Another learning rate, more epochs or "
                "another model may help."
            )
        if any(group.is_useless and group.method == "teacher" for group in of_task):
            texts.append(
                f"{task}: the teacher has learnt nothing, so its students have nothing to learn from it."
            )
    return texts


def _teachers_behind(groups: Sequence[Group]) -> list[str]:
    """Name teachers that a fine-tuned student leads: they are not trained to their best."""
    texts = []
    for task, of_task in by_task(groups).items():
        teacher = next((group for group in of_task if group.method == "teacher"), None)
        finetuned = [group for group in of_task if group.method == "finetune"]
        if teacher is None or not finetuned:
            continue
        best = max(finetuned, key=lambda group: group.score)
        if best.score > teacher.score and not best.is_useless:
            texts.append(
                f"{task}: {best.name} ({points(best.score)}), learns from labels alone and leads the teacher "
                f"({points(teacher.score)}). A teacher that is trained at another learning rate, or for more epochs, "
                "may be better, and its students with it."
            )
    return texts


def _first_weights(students: Sequence[Group]) -> list[str]:
    return [
        f"{task}: fine-tuned students start from other layers ({plain}) than distilled ones ({distilled}), so what "
        "one leads the other by is of the layers too. Give both the same to see what the teacher's answers bring: "
        "student.init sets it for all."
        for task, (plain, distilled) in different_starts(students).items()
    ]


def _speeds(students: Sequence[Group]) -> list[str]:
    measured = [group.speed for group in students if group.speed is not None]
    if not measured:
        return []
    machines = dict.fromkeys(speed.where for speed in measured)
    return [
        f"Times faster was measured on {' and on '.join(machines)}, once for each depth of a task: its methods and "
        "seeds share it. ± reaches to the farther end of the 95 % confidence interval. Other machines differ."
    ]


def _skipped_lines(groups: Sequence[Group]) -> list[str]:
    texts = []
    for task, of_task in by_task(groups).items():
        num_skipped = {
            split: number
            for group in of_task
            for split, number in group.rows[0].extra.get("skipped_lines", {}).items()
            if number
        }
        if num_skipped:
            counts = ", ".join(f"{number} of {split}" for split, number in sorted(num_skipped.items()))
            texts.append(f"{task}: broken lines of the data files were skipped ({counts}).")
    return texts
