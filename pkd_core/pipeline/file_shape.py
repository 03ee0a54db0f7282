"""What of a task decides how its files are read: a part of the specification of the stages that read them."""

from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from pkd_core.config.section import Section
from pkd_core.data.task import Split, Task


class FileShape(Section):
    """What of a task decides how its files are read: labels, columns, tolerated bad lines.

    The JSON leaves out `multi_label` where an example has one label.
    """

    labels: tuple[str, ...]
    label_range: tuple[float, float] | None
    max_bad_lines: int
    splits: tuple[Split, ...]
    multi_label: bool = False

    @classmethod
    def of(cls, task: Task) -> "FileShape":
        """Return a task's part that the tokens depend on; metrics are no part of it."""
        return cls(
            labels=task.labels,
            label_range=task.label_range,
            max_bad_lines=task.max_bad_lines,
            splits=task.splits,
            multi_label=task.multi_label,
        )

    @model_serializer(mode="wrap")
    def _without_one_label(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {
            key: value for key, value in serialize(self).items() if (key, value) != ("multi_label", False)
        }
