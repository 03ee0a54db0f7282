"""The Slurm script: with stand-ins for Slurm's and Ray's commands, and once with Ray itself."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "slurm" / "pkd.sbatch"
# Writes how it was called, then runs what follows "--", as Ray's command does on the head node.
RAY = """#!/bin/bash
printf '%s\\n' "$@" > "$SEEN/ray"
env > "$SEEN/environment"
[ -e "$SEEN/refuse" ] && exit 0
while [ "$1" != "--" ]; do shift; done
shift
"$@"
"""
PKD = """#!/bin/bash
printf '%s\\n' "$@" > "$SEEN/pkd"
trap 'exit 143' TERM
[ -e "$SEEN/wait" ] && { touch "$SEEN/waiting"; for _ in $(seq 600); do sleep 0.05; done; }
exit 3
"""


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    """A folder in which the stand-ins write what they were given; they are in its `bin`."""
    for name, text in (("srun", '#!/bin/bash\nexec "$@"\n'), ("ray", RAY), ("pkd", PKD)):
        write_program(tmp_path / "bin" / name, text)
    return tmp_path


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def job(seen: Path, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    environment = os.environ | {
        "PATH": f"{seen / 'bin'}:{os.environ['PATH']}",
        "SEEN": str(seen),
        "TMPDIR": str(seen),
        "PKD_HEAD": "10.0.0.7",
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "16",
        "SLURM_GPUS_ON_NODE": "8",
        **variables,
    }
    return subprocess.Popen(
        ["bash", SCRIPT, *arguments],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_a_job_runs_pkd_on_a_ray_cluster_of_its_own(seen: Path) -> None:
    first = job(seen, "file:///shared/pkd", "search", "MRPC", "--seeds", "1,2")
    assert first.wait() == 3  # pkd's own status
    given = lines(seen / "ray")
    assert given[: given.index("--")] == [
        "symmetric-run",
        *("--address", "10.0.0.7:29422", "--min-nodes", "2"),
        *("--num-cpus", "16", "--num-gpus", "8"),
        *("--temp-dir", "/tmp/ray-4711", "--ray-client-server-port", "29423"),
    ]
    workspace = ["--workspace", "file:///shared/pkd", "--placement", "10.0.0.7:29422"]
    assert lines(seen / "pkd") == ["search", "MRPC", "--seeds", "1,2", *workspace]
    variables = dict(line.partition("=")[::2] for line in lines(seen / "environment") if "=" in line)
    assert variables["RAY_AUTH_MODE"] == "token"
    assert len(variables["RAY_AUTH_TOKEN"]) == 64
    assert variables["RAY_health_check_period_ms"] == "2000"
    assert list(seen.glob("pkd-4711-*")) == []
    job(seen, "file:///shared/pkd", "run", "RTE").wait()
    assert f"RAY_AUTH_TOKEN={variables['RAY_AUTH_TOKEN']}" not in lines(seen / "environment")


def test_a_job_whose_ray_does_not_start_fails(seen: Path) -> None:
    (seen / "refuse").touch()
    started = job(seen, "file:///shared/pkd", "run", "RTE")
    assert "Ray did not start" in started.communicate()[1]
    assert started.returncode == 1
    assert not (seen / "pkd").exists()


def test_the_end_of_a_jobs_time_reaches_pkd(seen: Path) -> None:
    (seen / "wait").touch()
    started = job(seen, "file:///shared/pkd", "run", "RTE")
    while not (seen / "waiting").exists():
        assert started.poll() is None
        time.sleep(0.02)
    started.send_signal(signal.SIGTERM)
    assert started.wait(20) == 143


def test_a_job_without_a_task_says_how_it_is_used(seen: Path) -> None:
    started = job(seen, "file:///shared/pkd")
    assert "usage: sbatch" in started.communicate()[1]
    assert started.returncode == 2


@pytest.mark.slow
def test_ray_itself_runs_pkd_on_one_node(seen: Path) -> None:
    """In namespaces of its own: `ray stop`, with which Ray's command ends, ends every Ray process that it sees."""
    alone = ["unshare", "--pid", "--fork", "--mount", "--mount-proc", "--net"]
    if shutil.which("ip") is None or subprocess.run([*alone, "true"], check=False).returncode != 0:
        pytest.skip("needs root, to run Ray apart from the machine's others")
    asks = """
import json, os, pathlib, ray, sys
ray.init(address=sys.argv[-1])
nodes, resources = len(ray.nodes()), ray.cluster_resources()
answer = ray.get(ray.remote(num_gpus=0.5)(lambda: os.environ["CUDA_VISIBLE_DEVICES"]).remote())
seen = [nodes, resources["CPU"], resources["GPU"], answer]
pathlib.Path(os.environ["SEEN"], "cluster").write_text(json.dumps(seen))
"""
    (seen / "ask.py").write_text(asks, encoding="utf-8")
    (seen / "bin" / "ray").unlink()
    write_program(seen / "bin" / "pkd", f'#!/bin/bash\nexec {sys.executable} "$SEEN/ask.py" "$@"\n')
    script = f"ip link set lo up; exec bash {SCRIPT} file:///shared/pkd run RTE"
    environment = os.environ | {
        "PATH": f"{seen / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SEEN": str(seen),
        "TMPDIR": str(seen),
        "HOME": str(seen),
        "PKD_HEAD": "127.0.0.1",
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_CPUS_PER_TASK": "2",
        "SLURM_GPUS_ON_NODE": "1",
    }
    done = subprocess.run(
        [*alone, "bash", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    shutil.rmtree(f"/tmp/ray-{os.getpid()}", ignore_errors=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((seen / "cluster").read_text()) == [1, 2.0, 1.0, "0"]
