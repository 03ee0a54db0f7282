"""Which teacher layer each student layer learns from, as 1-based (student, teacher) pairs.

Layer k is `hidden_states[k]` of Hugging Face, where 0 is the embeddings. The last student layer is never
matched: the logits see it already.
"""

LayerMap = tuple[tuple[int, int], ...]


def skip_layers(num_student: int, num_teacher: int) -> LayerMap:
    """Match evenly spread teacher layers: every s-th, where s is num_teacher / num_student (PKD-Skip).

    Args:
        num_student: Layers of the student, 2 or more.
        num_teacher: Layers of the teacher, a multiple of `num_student` and more than it.

    Returns:
        `num_student - 1` pairs, such as ((1, 4), (2, 8)) for 3 and 12.

    Raises:
        ValueError: If the depths allow no such map.
    """
    _check_depths(num_student, num_teacher)
    if num_teacher % num_student:
        raise ValueError(
            f"pkd-skip needs teacher layers divisible by the student's, got {num_teacher} and {num_student}; "
            "choose another student depth, or pkd-last"
        )
    stride = num_teacher // num_student
    return tuple((layer, layer * stride) for layer in range(1, num_student))


def last_layers(num_student: int, num_teacher: int) -> LayerMap:
    """Match the teacher's last layers before its very last (PKD-Last).

    Args:
        num_student: Layers of the student, 2 or more.
        num_teacher: Layers of the teacher, more than `num_student`.

    Returns:
        `num_student - 1` pairs, such as ((1, 10), (2, 11)) for 3 and 12.

    Raises:
        ValueError: If the depths allow no such map.
    """
    _check_depths(num_student, num_teacher)
    offset = num_teacher - num_student
    return tuple((layer, layer + offset) for layer in range(1, num_student))


def _check_depths(num_student: int, num_teacher: int) -> None:
    """Refuse depths at which there is nothing to match, or nothing to compress."""
    if num_student < 2:
        raise ValueError(
            f"patience needs a student of 2 layers or more (its last is never matched), got {num_student}; "
            "choose a deeper student, or kd"
        )
    if num_student >= num_teacher:
        raise ValueError(
            f"the student must be shallower than its teacher, got {num_student} and {num_teacher} layers; "
            "choose fewer student layers"
        )
