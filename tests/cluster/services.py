"""The servers that all hosts share, on one host: Postgres, an S3 server, Prefect and MLflow, each where it is told."""

import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cluster.hosts import Host

POSTGRES_PORT = 5432
S3_PORT = 9000
PREFECT_PORT = 4200
MLFLOW_PORT = 5000
BUCKET = "lab"
_DATABASES = ("prefect", "mlflow")
# Neither is a real account: the S3 server of the tests takes every key.
_S3_KEYS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests-only", "AWS_REGION": "us-east-1"}
_NEEDS_NO_LOGIN = """
import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=5)
"""
_MAKE_DATABASES = """
import sys, psycopg2
connection = psycopg2.connect(sys.argv[1])
connection.autocommit = True
for name in sys.argv[2:]:
    connection.cursor().execute(f"CREATE DATABASE {name}")
"""
_MAKE_BUCKET = """
import sys, boto3
boto3.client("s3", endpoint_url=sys.argv[1]).create_bucket(Bucket=sys.argv[2])
"""


@dataclass(frozen=True)
class Services:
    """Where the servers are, and the login that Prefect and MLflow require."""

    address: str
    password: str = field(repr=False)

    @property
    def s3(self) -> str:
        """The S3 server's address."""
        return f"http://{self.address}:{S3_PORT}"

    @property
    def prefect_api(self) -> str:
        """The address of Prefect's API."""
        return f"http://{self.address}:{PREFECT_PORT}/api"

    @property
    def mlflow(self) -> str:
        """MLflow's address."""
        return f"http://{self.address}:{MLFLOW_PORT}"

    @property
    def login(self) -> str:
        """Name and password, as Prefect and `pkd up` take them."""
        return f"pkd:{self.password}"

    @property
    def s3_environment(self) -> dict[str, str]:
        """The variables by which a client finds the S3 server and may use it."""
        return {"AWS_ENDPOINT_URL": self.s3, "AWS_ALLOW_HTTP": "true", **_S3_KEYS}

    @property
    def client_environment(self) -> dict[str, str]:
        """The variables by which a run on any host finds all servers and may use them."""
        return {
            "PREFECT_API_URL": self.prefect_api,
            "PREFECT_API_AUTH_STRING": self.login,
            "MLFLOW_TRACKING_URI": self.mlflow,
            "MLFLOW_TRACKING_USERNAME": "pkd",
            "MLFLOW_TRACKING_PASSWORD": self.password,
            **self.s3_environment,
        }


@contextmanager
def services(host: Host) -> Iterator[Services]:
    """Start all servers on a host, wait until each answers, and yield where they are."""
    found = Services(host.address, secrets.token_urlsafe(24))
    started = []
    try:
        started.append(_start_postgres(host, found.password))
        started.append(_start_s3(host, found))
        started.append(_start_pkd_up(host, found))
        wait_until(lambda: _answers(host, f"{found.prefect_api}/health"), 180, "Prefect's server answers")
        wait_until(lambda: _answers(host, f"{found.mlflow}/health"), 180, "MLflow's server answers")
        yield found
    finally:
        for one in reversed(started):
            one.kill()
            one.wait()


def wait_until(is_true: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until a condition holds, and return how long that took, in seconds.

    Raises:
        AssertionError: If it does not hold after some seconds; says what was waited for.
    """
    begin = time.monotonic()
    while not is_true():
        assert time.monotonic() - begin < seconds, f"after {seconds} s still not: {what}"
        time.sleep(0.2)
    return time.monotonic() - begin


def _start_postgres(host: Host, password: str) -> subprocess.Popen[bytes]:
    # Postgres refuses to run as root.
    other = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
    folder, words = host.folder / "postgres", host.folder / "postgres-password"
    folder.mkdir()
    words.write_text(password, encoding="ascii")
    for path in (folder, words):
        path.chmod(0o700)
    host.run(["chown", "nobody:nogroup", "/tmp/postgres", "/tmp/postgres-password"])
    data = ["--pgdata", "/tmp/postgres/data", "--username", "pkd", "--pwfile", "/tmp/postgres-password"]
    host.run([*other, "initdb", *data, "--auth", "scram-sha-256", "--no-sync"])
    # Prefect and MLflow are on the same host: nobody else is to reach the databases.
    options = {"listen_addresses": "127.0.0.1", "port": str(POSTGRES_PORT), "unix_socket_directories": ""}
    settings = [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
    started = host.start([*other, "postgres", "-D", "/tmp/postgres/data", *settings], "postgres.log")
    log = host.folder / "postgres.log"
    wait_until(lambda: "ready to accept" in log.read_text(encoding="utf-8"), 60, "Postgres answers")
    url = f"postgresql://pkd:{password}@127.0.0.1:{POSTGRES_PORT}/postgres"
    host.run([sys.executable, "-c", _MAKE_DATABASES, url, *_DATABASES])
    return started


def _start_s3(host: Host, found: Services) -> subprocess.Popen[bytes]:
    started = host.start(["python", "-m", "moto.server", "-H", host.address, "-p", str(S3_PORT)], "s3.log")
    wait_until(lambda: _answers(host, f"{found.s3}/moto-api/"), 60, "the S3 server answers")
    host.run([sys.executable, "-c", _MAKE_BUCKET, found.s3, BUCKET], found.s3_environment)
    return started


def _start_pkd_up(host: Host, found: Services) -> subprocess.Popen[bytes]:
    postgres = f"postgresql://pkd:{found.password}@127.0.0.1:{POSTGRES_PORT}"
    environment = {
        "PKD_LOGIN": found.login,
        "PREFECT_API_DATABASE_CONNECTION_URL": f"{postgres}/prefect",
        "MLFLOW_BACKEND_STORE_URI": f"{postgres}/mlflow",
        **found.s3_environment,
    }
    ports = ["--prefect-port", str(PREFECT_PORT), "--mlflow-port", str(MLFLOW_PORT)]
    where = ["--host", host.address, "--name", host.name, *ports, "--workspace", "/tmp/servers"]
    command = [
        "python",
        "-m",
        "flows.cli",
        "up",
        "--no-serve",
        *where,
        "--artifacts",
        f"s3://{BUCKET}/mlflow",
    ]
    return host.start(command, "pkd-up.log", environment)


def _answers(host: Host, url: str) -> bool:
    try:
        host.run([sys.executable, "-c", _NEEDS_NO_LOGIN, url])
    except AssertionError:
        return False
    return True
