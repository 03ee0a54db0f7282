"""What reads a setting: one that neither the command nor a method of the run reads is refused."""

from collections.abc import Iterable, Mapping
from typing import Any

from pkd_core.config.distill_settings import DistillationLoss, DistillConfig
from pkd_core.config.settings import METHODS, Method
from pkd_core.config.transfer_settings import TransferConfig
from pkd_core.errors import ConfigError

_WITH_LOGITS: tuple[Method, ...] = ("kd", "pkd-skip", "pkd-last", "kd.full")
_WITH_STATES: tuple[Method, ...] = ("pkd-skip", "pkd-last")
# A test compares this with what each method's stages are given.
_READ_BY: Mapping[str, tuple[Method, ...]] = {
    "distill.alpha": _WITH_LOGITS,
    "distill.temperature": _WITH_LOGITS,
    "distill.distillation_reduction": _WITH_LOGITS,
    "distill.distillation_loss": _WITH_LOGITS,
    "distill.dkd_target_weight": _WITH_LOGITS,
    "distill.dkd_other_weight": _WITH_LOGITS,
    "distill.num_epochs": _WITH_LOGITS,
    "distill.init": _WITH_LOGITS,
    "distill.beta": _WITH_STATES,
    "distill.normalize": _WITH_STATES,
    "distill.patience_reduction": _WITH_STATES,
    "distill.first_head_layer": ("kd.full",),
    "distill.head_weight": ("kd.full",),
    "states.dtype": _WITH_LOGITS,
    **dict.fromkeys((f"transfer.{name}" for name in TransferConfig.model_fields), _WITH_LOGITS),
}
# Of those, what only some of the losses with the teacher's logits read.
_READ_BY_LOSS: Mapping[str, tuple[DistillationLoss, ...]] = {
    "distill.temperature": ("kl", "dkd"),
    "distill.dkd_target_weight": ("dkd",),
    "distill.dkd_other_weight": ("dkd",),
}
# Sections of stages that only `pkd compress` has.
_OF_COMPRESSIONS = ("export", "latency")
# Of the transfer set's settings, those that say how copies differ.
_OF_COPIES = tuple(
    f"transfer.{name}" for name in TransferConfig.model_fields if name not in ("unlabelled", "num_copies")
)


def is_of_compressions(key: str) -> bool:
    """Return whether only `pkd compress` reads a setting."""
    return key.partition(".")[0] in _OF_COMPRESSIONS


def methods_reading(key: str) -> tuple[Method, ...]:
    """Return the methods that read a setting; the teacher's are read by all, as each is compared with the teacher."""
    return _READ_BY.get(key, METHODS)


def loss_reads(loss: DistillationLoss, key: str) -> bool:
    """Return whether a setting has an effect where L_DS is this loss."""
    return loss in _READ_BY_LOSS.get(key, (loss,))


def check_settings_are_read(settings: Mapping[str, Any], methods: Iterable[Method]) -> None:
    """Check that each given setting has an effect.

    Raises:
        ConfigError: None of the methods reads one of them, or the distillation loss does not; or it says how copies
            differ, and none are made.
    """
    methods = tuple(methods)
    for key in settings:
        readers = methods_reading(key)
        if not set(readers) & set(methods):
            raise ConfigError(
                f"{key} has no effect on {' and '.join(methods)}: only {', '.join(readers)} read it; leave it out, or "
                "add one of these methods."
            )
    loss = settings.get("distill.distillation_loss", DistillConfig().distillation_loss)
    for key in settings:
        if not loss_reads(loss, key):
            raise ConfigError(
                f"{key} has no effect with distill.distillation_loss={loss}, but only with "
                f"{' or '.join(_READ_BY_LOSS[key])}; leave it out, or choose another loss."
            )
    without_copies = [key for key in _OF_COPIES if key in settings]
    if without_copies and not int(settings.get("transfer.num_copies", 0)):
        raise ConfigError(
            f"{without_copies[0]} has no effect without copies; set transfer.num_copies too, or leave it out."
        )


def check_settings_of_command(
    settings: Mapping[str, Any], has_own_teacher: bool, is_compression: bool
) -> None:
    """Check that a command has the stages that read each given setting.

    Args:
        settings: Values by dotted key.
        has_own_teacher: Whether the teacher is given, and not fine-tuned.
        is_compression: Whether the command is `pkd compress`, which exports and times models too.

    Raises:
        ConfigError: It has no stage that reads one of them.
    """
    for key in settings:
        if is_of_compressions(key) and not is_compression:
            raise ConfigError(
                f"{key} has no effect here, as only `pkd compress` exports and times models for use; leave it out, or "
                "give it to `pkd compress`."
            )
        if has_own_teacher and key.startswith("teacher."):
            raise ConfigError(
                f"{key} has no effect on a teacher that is fine-tuned already; leave it out, or leave out --teacher."
            )
