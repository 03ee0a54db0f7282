"""The templates of work pools: what a deployment may change in them, and that each kind of worker accepts them."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from flows.cli.app import app
from flows.service.pool_run import SECRETS_VARIABLE
from flows.service.root import ROOT_VARIABLE

POOLS = Path(__file__).resolve().parents[2] / "deploy" / "pools"
KINDS = ("process", "docker", "kubernetes")


def template(kind: str) -> dict[str, Any]:
    """A template with the two words that docs/cluster.md says to replace."""
    text = (POOLS / f"{kind}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text.replace("WORKSPACE", "s3://lab/pkd").replace("IMAGE", "pkd:cuda"))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_deployment_changes_neither_command_nor_image(kind: str) -> None:
    found = template(kind)
    job, changeable = found["job_configuration"], set(found["variables"]["properties"])
    assert set(re.findall(r"{{ (\w+) }}", json.dumps(job))) == changeable
    assert changeable <= {"name", "gpus", "cpus", "memory"}
    assert job["command"].split()[-1] == "flow-run"
    assert job["env"][ROOT_VARIABLE] == "s3://lab/pkd"
    assert "flow-run" in {command.name for command in app.registered_commands}


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_secrets_are_mounted_files_and_no_variables(kind: str) -> None:
    job = template(kind)["job_configuration"]
    folder = job["env"][SECRETS_VARIABLE]
    text = json.dumps(job)
    assert text.count(folder) == 2
    assert not re.search("(?i)password|token=|auth_string|aws_secret", text)


@pytest.mark.parametrize("kind", KINDS)
def test_prefect_takes_the_template_for_a_pool(kind: str) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate

    pool = WorkPoolCreate(name="gpus", type=kind, base_job_template=template(kind))
    assert pool.base_job_template["job_configuration"]["command"].endswith("flow-run")


def configured(kind: str, worker: Any, values: dict[str, Any]) -> Any:
    """The job that a worker starts for a flow run."""
    from prefect.client.schemas.objects import Flow, FlowRun

    job = asyncio.run(worker.job_configuration.from_template_and_values(template(kind), values))
    run = FlowRun(id=uuid4(), name="full-glue", flow_id=uuid4())
    job.prepare_for_flow_run(run, flow=Flow(id=run.flow_id, name="pkd"))
    assert job.env["PREFECT__FLOW_RUN_ID"] == str(run.id)
    return job


def test_a_process_worker_starts_pkds_own_command() -> None:
    from prefect.workers.process import ProcessWorker

    job = configured("process", ProcessWorker, {"command": "evil"})
    assert job.command == "pkd flow-run"
    assert job.env[ROOT_VARIABLE] == "s3://lab/pkd"


def test_a_docker_worker_starts_pkds_own_command() -> None:
    worker = pytest.importorskip("prefect_docker.worker").DockerWorker
    job = configured("docker", worker, {"command": "evil", "image": "evil", "memory": "8g"})
    assert (job.command, job.image, job.mem_limit) == ("flow-run", "pkd:cuda", "8g")
    assert job.volumes == ["/etc/pkd/secrets:/run/pkd-secrets:ro", "pkd-cache:/var/cache/pkd"]
    assert job.container_create_kwargs["device_requests"][0]["Capabilities"] == [["gpu"]]


def test_a_kubernetes_worker_makes_a_valid_job_of_pkds_own_command() -> None:
    worker = pytest.importorskip("prefect_kubernetes.worker").KubernetesWorker
    validate = pytest.importorskip("kubernetes_validate").validate
    job = configured("kubernetes", worker, {"command": "evil", "image": "evil", "gpus": 4})
    pod = job.job_manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (container["image"], container["args"]) == ("pkd:cuda", ["flow-run"])
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 4
    assert {"name": ROOT_VARIABLE, "value": "s3://lab/pkd"} in container["env"]
    # Prefect wants these two here, and Kubernetes knows them one level above.
    assert (pod.pop("completions"), pod.pop("parallelism")) == (1, 1)
    validate(job.job_manifest, "1.32", strict=True)
