"""What a kind of fault did."""

from dataclasses import dataclass


@dataclass
class Tally:
    """How many faults were done, and how many results were not as without them."""

    name: str
    injected: int = 0
    lost: int = 0
    details: str = ""

    def lose(self, what: str) -> None:
        """Count a fault as lost, and note what was wrong."""
        self.lost += 1
        self.details += f" {what};"
