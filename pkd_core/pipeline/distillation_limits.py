"""Which tasks and depths a way of distilling fits."""

from pkd_core.data.task import Task
from pkd_core.errors import ConfigError
from pkd_core.pipeline.models import Models
from pkd_core.pipeline.specs import DistillSpec, FullDistillSpec


def check_distillation(distill: DistillSpec, task: Task, num_layers: int) -> None:
    """Check that a student of a task and a depth can be distilled in a way.

    Raises:
        ConfigError: It cannot.
    """
    if distill.distillation_loss == "dkd" and (task.is_regression or task.multi_label):
        found = "several labels of a text" if task.multi_label else "scores"
        raise ConfigError(
            f"distill.distillation_loss=dkd needs a task with classes, and {task.name} has {found}; run it by itself "
            "without that setting."
        )
    if isinstance(distill, FullDistillSpec) and distill.first_head_layer >= num_layers:
        raise ConfigError(
            f"kd.full needs a head below the last of {num_layers} student layers, and distill.first_head_layer is "
            f"{distill.first_head_layer}; choose deeper students, a lower layer, or kd."
        )


def check_transfer(task: Task, models: Models, num_copies: int) -> None:
    """Check that a task can have texts without labels, for these models.

    Raises:
        ConfigError: It is of multiple choice, or the teacher cannot read the students' tokens.
    """
    if models.own_teachers and num_copies:
        raise ConfigError(
            f"transfer.num_copies={num_copies} varies the students' tokens, and {models.teacher_name} reads texts; set "
            "transfer.num_copies=0, and give more texts without labels."
        )
    if task.num_choices > 1:
        raise ConfigError(
            f"{task.name} has no texts without labels; set transfer.unlabelled=false and transfer.num_copies=0."
        )
    if not models.share_tokens:
        raise ConfigError(
            f"texts without labels need one tokenizer for teacher and students, and {models.student.name} has another "
            f"one than {models.teacher.name}; set transfer.unlabelled=false and transfer.num_copies=0."
        )
