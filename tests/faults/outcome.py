"""How the runs came through one kind of fault."""

from dataclasses import dataclass


@dataclass
class Outcome:
    """Counts of one kind of fault.

    Attributes:
        name: The kind of fault.
        injected: How many faults were injected.
        lost: After how many of them a result was wrong or missing.
        details: What was wrong.
    """

    name: str
    injected: int = 0
    lost: int = 0
    details: str = ""

    @property
    def survived(self) -> int:
        """How many faults changed no result."""
        return self.injected - self.lost

    def add_lost(self, reason: str) -> None:
        """Count a fault as lost."""
        self.lost += 1
        self.details += f" {reason};"
