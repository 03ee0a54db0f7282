"""Which output of an own teacher stands for which label of a task, as far as its settings say it."""

from pkd_core.data.task import Task
from pkd_core.errors import ConfigError, listed
from pkd_core.evaluation.label_order import order_by_name, order_by_number
from pkd_core.pipeline.own_teachers import OwnTeacher

_REGRESSION = "regression"
_SINGLE_LABEL = "single_label_classification"


def label_order(teacher: OwnTeacher, task: Task) -> tuple[tuple[int, ...], bool]:
    """Return the output of each of a task's labels, and whether the names of the outputs say so.

    Raises:
        ConfigError: The teacher is not one for this task.
    """
    labels, outputs = task.labels, teacher.settings.labels
    _check_kind(teacher, task)
    if task.is_regression:
        return (0,), True
    if (order := order_by_name(labels, outputs)) is not None:
        return order, True
    if len(labels) == len(outputs) and (order := order_by_number(labels, outputs)) is not None:
        return order, False
    missing = _missing(labels, outputs)
    further = _missing(outputs, labels)
    found = f"{len(outputs)} labels"
    found += f", without {listed(missing)}" if missing else ""
    found += f", and with {listed(further)}" if further else ""
    raise ConfigError(
        f"{teacher.name} needs the {len(labels)} labels of {task.name} to teach it, and has {found}; give a teacher "
        "that was fine-tuned on these labels, or set id2label in its config.json if they have other names there."
    )


def _missing(names: tuple[str, ...], among: tuple[str, ...]) -> list[str]:
    known = {name.strip().casefold() for name in among}
    return [name for name in names if name.strip().casefold() not in known]


def _check_kind(teacher: OwnTeacher, task: Task) -> None:
    problem, num_outputs = teacher.settings.problem_type, len(teacher.settings.labels)
    if task.num_choices > 1:
        raise ConfigError(
            f"{task.name} is of multiple choice, for which there is no --teacher; run without it."
        )
    if task.is_regression and (num_outputs != 1 or problem not in (None, _REGRESSION)):
        raise ConfigError(
            f"{task.name} has scores, and {teacher.name} answers with {num_outputs} labels; give a teacher with one "
            "output that was trained on scores."
        )
    if not task.is_regression and (num_outputs == 1 or problem == _REGRESSION):
        raise ConfigError(
            f"{task.name} has {len(task.labels)} labels, and {teacher.name} answers with a score; give a teacher with "
            "an output for each label."
        )
    if not task.is_regression and problem is not None and task.multi_label == (problem == _SINGLE_LABEL):
        asked, given = ("one label", "any number of them")
        if task.multi_label:
            asked, given = ("any number of labels", "one")
        raise ConfigError(
            f"{task.name} has {asked} for each text, and {teacher.name} was trained to give {given}; give a "
            "teacher that was trained as the task is."
        )
