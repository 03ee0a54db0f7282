"""Which layers students start from: methods that start from others are not compared by what they learn from alone."""

from collections.abc import Sequence

from pkd_core.report.results import Group, by_task


def different_starts(groups: Sequence[Group]) -> dict[str, tuple[str, str]]:
    """Return the first weights of fine-tuned and of distilled students, by task, where they differ.

    Args:
        groups: Of all tasks and methods.

    Returns:
        Values of student.init, such as ("pretrained-first", "teacher-skip"); nothing where they are not known.
    """
    starts = {
        task: (
            _starts([group for group in of_task if group.method == "finetune"]),
            _starts([group for group in of_task if group.method not in ("teacher", "finetune")]),
        )
        for task, of_task in by_task(groups).items()
    }
    return {task: both for task, both in starts.items() if all(both) and both[0] != both[1]}


def _starts(groups: Sequence[Group]) -> str:
    found = {row.settings.get("student.init") for group in groups for row in group.rows}
    return ", ".join(sorted(init for init in found if init))
