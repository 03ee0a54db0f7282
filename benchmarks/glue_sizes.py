"""The sizes of GLUE's tasks, as published."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class TaskSize:
    """Rows of a task's splits.

    Attributes:
        train: Rows of the training split, without broken lines.
        dev: Rows of all dev splits.
        test: Rows of all test splits.
        like: The task whose lengths in tokens were used in its place, where steps were measured.
    """

    train: int
    dev: int
    test: int
    like: str


GLUE_SIZES: Mapping[str, TaskSize] = {
    "CoLA": TaskSize(8551, 1043, 1063, "SST-2"),
    "SST-2": TaskSize(67349, 872, 1821, "SST-2"),
    "MRPC": TaskSize(3667, 408, 1725, "MRPC"),
    "STS-B": TaskSize(5749, 1500, 1379, "MRPC"),
    "QQP": TaskSize(363849, 40430, 390965, "MRPC"),
    "MNLI": TaskSize(392702, 19647, 19643, "MRPC"),
    "QNLI": TaskSize(104743, 5463, 5463, "MRPC"),
    "RTE": TaskSize(2490, 277, 3000, "RTE"),
    "WNLI": TaskSize(635, 71, 146, "MRPC"),
}
