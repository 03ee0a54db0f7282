"""A Postgres server of a test's own, on loopback."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Postgres:
    """A running server: its port, and the user pkd's password."""

    port: int
    password: str

    def url(self, database: str) -> str:
        return f"postgresql://pkd:{self.password}@127.0.0.1:{self.port}/{database}"


@contextmanager
def postgres(*databases: str) -> Iterator[Postgres]:
    """Run a new server with these empty databases while the body runs; skip the test where Postgres is missing."""
    if not shutil.which("initdb"):
        pytest.skip("Postgres is not installed")
    # Not below pytest's folders: it refuses to run as root, and another user may not enter those.
    folder = Path(tempfile.mkdtemp(prefix="pkd-postgres-"))
    found = Postgres(_free_port(), secrets.token_hex(12))
    try:
        (folder / "password").write_text(found.password, encoding="ascii")
        if os.getuid() == 0:
            for path in (folder, folder / "password"):
                shutil.chown(path, "nobody")
        data = ["-D", str(folder / "data")]
        _run(["initdb", *data, "-U", "pkd", "--auth=scram-sha-256", f"--pwfile={folder / 'password'}"])
        settings = f"-c listen_addresses=127.0.0.1 -c port={found.port} -c unix_socket_directories={folder}"
        _run(["pg_ctl", *data, "-w", "-o", f"{settings} -c fsync=off", "-l", str(folder / "log"), "start"])
        try:
            for database in databases:
                variables = {"PGPASSWORD": found.password}
                words = ["-h", "127.0.0.1", "-p", str(found.port), "-U", "pkd", database]
                subprocess.run(["createdb", *words], env=os.environ | variables, check=True)
            yield found
        finally:
            _run(["pg_ctl", *data, "-w", "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _run(command: Sequence[str]) -> None:
    other = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
    subprocess.run(
        [*other, *command],
        cwd="/",
        env=os.environ | {"LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )
