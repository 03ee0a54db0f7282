"""Keys of a stage's objects in a place that several machines share."""

from dataclasses import dataclass

from pkd_core.store.address import Address
from pkd_core.store.manifest import MANIFEST_NAME


@dataclass(frozen=True)
class StageKeys:
    """Keys of one stage's objects; prefixes end in "/".

    Attributes:
        address: The stage.
    """

    address: Address

    @property
    def folder(self) -> str:
        """Prefix of everything that belongs to the stage."""
        return f"{self.address.folder.as_posix()}/"

    @property
    def manifest(self) -> str:
        """The manifest: it is created last, once, and names the attempt that was published."""
        return f"{self.folder}{MANIFEST_NAME}"

    @property
    def leases(self) -> str:
        """Prefix of the leases of those who compute the stage."""
        return f"{self.folder}leases/"

    @property
    def attempts(self) -> str:
        """Prefix of all attempts; nobody but the attempt itself writes below its own prefix."""
        return f"{self.folder}attempts/"

    def files(self, attempt: str) -> str:
        """Prefix of the files that an attempt publishes, each under its name."""
        return f"{self.attempts}{attempt}/files/"

    def checkpoint(self, attempt: str) -> str:
        """Prefix of the files of an attempt's checkpoints, each under its hash and size."""
        return f"{self.attempts}{attempt}/resume/"

    def pointer(self, attempt: str) -> str:
        """What names the files of an attempt's newest checkpoint."""
        return f"{self.attempts}{attempt}/resume.json"
