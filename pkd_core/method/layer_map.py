"""Which teacher layer each student layer learns from, as 1-based (student, teacher) pairs.

Layer k is `hidden_states[k]` of transformers, where 0 is the embeddings. The last student layer is never matched:
the logits already depend on it.
"""

LayerMap = tuple[tuple[int, int], ...]


def skip_layers(num_student: int, num_teacher: int) -> LayerMap:
    """Match every s-th teacher layer, where s is num_teacher / num_student (PKD-Skip).

    >>> skip_layers(num_student=3, num_teacher=12)
    ((1, 4), (2, 8))

    Args:
        num_student: Layers of the student, 2 or more.
        num_teacher: Layers of the teacher, a multiple of `num_student` and more than it.

    Returns:
        `num_student - 1` pairs.

    Raises:
        ValueError: The depths allow no such map.
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
    """Match the last teacher layers, except its very last (PKD-Last).

    >>> last_layers(num_student=3, num_teacher=12)
    ((1, 10), (2, 11))

    Args:
        num_student: Layers of the student, 2 or more.
        num_teacher: Layers of the teacher, more than `num_student`.

    Returns:
        `num_student - 1` pairs.

    Raises:
        ValueError: The depths allow no such map.
    """
    _check_depths(num_student, num_teacher)
    offset = num_teacher - num_student
    return tuple((layer, layer + offset) for layer in range(1, num_student))


def same_depth(num_student: int, num_teacher: int) -> LayerMap:
    """Pair every student layer with the teacher's at the same part of the depth, to compare them.

    Where `skip_layers` exists, these are its pairs and that of the last layers.

    >>> same_depth(num_student=3, num_teacher=12)
    ((1, 4), (2, 8), (3, 12))
    >>> same_depth(num_student=5, num_teacher=12)
    ((1, 2), (2, 4), (3, 7), (4, 9), (5, 12))
    """
    return tuple((layer, layer * num_teacher // num_student) for layer in range(1, num_student + 1))


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
