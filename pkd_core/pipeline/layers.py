"""The layers that a student consists of, and those that it is matched with."""

from pkd_core.config.conventions import CONVENTIONS
from pkd_core.config.distill_settings import Init
from pkd_core.config.settings import Method, RunConfig
from pkd_core.errors import ConfigError
from pkd_core.method.layer_map import LayerMap, last_layers, skip_layers
from pkd_core.pipeline.models import Models

_LAYER_MAPS = {"pkd-skip": skip_layers, "pkd-last": last_layers}


def layer_map_of(run: RunConfig, method: Method, num_layers: int, num_teacher_layers: int) -> LayerMap:
    """Return the layers that a student is matched with; none for a method without [CLS] states.

    Raises:
        ConfigError: The depths allow no such map.
    """
    if num_layers > num_teacher_layers:
        raise ConfigError(
            f"a student of {num_layers} layers is deeper than its teacher of {num_teacher_layers}; "
            f"give --student-layers of at most {num_teacher_layers}."
        )
    of_convention = CONVENTIONS[run.convention].layer_maps
    if (method, num_layers, num_teacher_layers) in of_convention:
        return of_convention[method, num_layers, num_teacher_layers]
    try:
        return _LAYER_MAPS[method](num_layers, num_teacher_layers) if method in _LAYER_MAPS else ()
    except ValueError as error:
        raise ConfigError(f"{method} with {num_layers} student layers: {error}") from error


def initial_layers(init: Init, num_layers: int, models: Models) -> tuple[int, ...]:
    """Return the layers that a student's first weights are taken from, of its pretrained model or of its teacher.

    Args:
        init: What they are taken from. With "teacher-skip", student layer i of n is the teacher's layer ceil(i N / n).
        num_layers: The student's depth n, at most that of its source.
        models: The teacher's model, of N layers, and the students' own.

    Raises:
        ConfigError: There are no such layers, or the students have another pretrained model and take nothing from it.
    """
    _check_source(init, num_layers, models)
    if init != "teacher-skip":
        return tuple(range(1, num_layers + 1))
    return tuple(-(-i * models.teacher.num_layers // num_layers) for i in range(1, num_layers + 1))


def _check_source(init: Init, num_layers: int, models: Models) -> None:
    """Refuse initial layers that the students' own pretrained model does not have or replaces."""
    base = models.student_base
    if base is None:
        return
    if init != "pretrained-first":
        raise ConfigError(
            f"{init} (student.init or distill.init) takes the students' layers from the teacher, and "
            f"--student-model from {base.name}; give one of the two."
        )
    if num_layers > base.num_layers:
        raise ConfigError(
            f"a student of {num_layers} layers needs as many in {base.name}, which has "
            f"{base.num_layers}; give --student-layers of at most {base.num_layers}."
        )
