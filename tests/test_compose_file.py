"""deploy/compose.yaml: logins from the environment, addresses that are named, and commands that pkd knows."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from s3_server import s3_environment, s3_server
from typer.testing import CliRunner

from flows.cli.app import app
from flows.service.listening import listening_at

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
SECRETS = {"PKD_LOGIN", "PKD_DATABASE_PASSWORD", "PKD_STORAGE_KEY", "PKD_STORAGE_SECRET"}


def test_every_secret_must_be_set_and_none_has_a_default_or_an_argument() -> None:
    used = re.findall(r"\$\{(\w+)(:[?-])?([^}]*)\}", TEXT)
    assert {name for name, rule, _ in used if rule == ":?"} == SECRETS
    assert SECRETS & {name for name, rule, _ in used if rule != ":?"} == set()
    for name, service in SERVICES.items():
        arguments = " ".join([*service.get("command", []), *service.get("entrypoint", [])])
        assert not any(secret in arguments for secret in SECRETS), name


def test_the_example_names_every_variable_and_no_secret() -> None:
    example = (DEPLOY / "env.example").read_text(encoding="utf-8")
    named = dict(re.findall(r"^#?(PKD_\w+)=(.*)$", example, re.MULTILINE))
    assert set(named) == set(re.findall(r"\$\{(\w+)", TEXT))
    assert {name: named[name] for name in SECRETS} == dict.fromkeys(SECRETS, "")


def test_ports_are_published_on_the_named_address_alone_and_the_database_on_none() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "storage": ["${PKD_HOST:-127.0.0.1}:9000:9000"],
        "servers": ["${PKD_HOST:-127.0.0.1}:4200:4200", "${PKD_HOST:-127.0.0.1}:5000:5000"],
    }


def test_whatever_stays_is_asked_whether_it_answers_starts_again_and_keeps_its_data_in_a_volume() -> None:
    staying = {name for name, service in SERVICES.items() if "restart" in service}
    assert staying == set(SERVICES) - {"bucket"}
    mounted = set()
    for name in staying:
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD", name
        mounted |= {volume.partition(":")[0] for volume in SERVICES[name]["volumes"]}
    assert mounted == set(FILE["volumes"]) | {"./databases.sql"}
    waits = {name: set(service.get("depends_on", {})) for name, service in SERVICES.items()}
    assert waits["servers"] == {"postgres", "bucket"}
    assert waits["bucket"] == {"storage"}


def test_the_servers_databases_are_made_with_postgres() -> None:
    statements = (DEPLOY / "databases.sql").read_text(encoding="utf-8")
    made = set(re.findall(r"^CREATE DATABASE (\w+);$", statements, re.MULTILINE))
    environment = SERVICES["servers"]["environment"]
    variables = ("PREFECT_API_DATABASE_CONNECTION_URL", "MLFLOW_BACKEND_STORE_URI")
    assert {environment[name].rpartition("/")[2] for name in variables} == made


def test_pkd_takes_the_options_of_the_servers_and_answers_under_the_name() -> None:
    command, *words = SERVICES["servers"]["command"]
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    options = dict(word.partition("=")[::2] for word in words)
    assert all(option in shown for option in options)
    name = re.sub(r"\$\{PKD_NAME:-(.+)\}", r"\1", options["--name"])
    listening = listening_at(options["--host"], [name])
    assert "127.0.0.1:*" in listening.patterns().split(",")  # by which the health check asks


@pytest.mark.slow
def test_the_bucket_is_made_once(tmp_path: Path) -> None:
    _, option, code = SERVICES["bucket"]["entrypoint"]
    with s3_server() as endpoint:
        for _ in range(2):
            command = [sys.executable, option, code]
            subprocess.run(command, env=s3_environment(endpoint), cwd=tmp_path, check=True)
        list_and_make = code.replace("create_bucket", "head_bucket").replace("not in", "in")
        subprocess.run([sys.executable, option, list_and_make], env=s3_environment(endpoint), check=True)
