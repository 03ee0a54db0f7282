"""Every command and snippet of README and docs runs, on a small GLUE and with a tiny BERT in the hub's cache."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from tiny import write_tiny_glue, write_tiny_model, write_tiny_task

from flows.cli.app import main
from pkd_core.config.settings import DEFAULT_MODEL

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [README, *(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md")))]
# What needs a network, make or servers is tested elsewhere.
RUN_ELSEWHERE = {
    "make setup": ".ci/run",
    "pip install '.[pipeline]'": "tests/test_packaging.py",
    "pip install '.[export]'": "tests/test_packaging.py",
    "make demo": "tests/flows/test_demo.py",
    "make test": ".ci/run",
    "pkd fetch RTE": "tests/data/test_download.py",
    "pkd up RTE MRPC": "tests/flows/test_up.py",
    "pkd up --no-serve --host 10.0.0.1 --name lab.example.org --artifacts s3://lab/mlflow": (
        "tests/flows/test_up_for_others.py"
    ),
    "read -rs PKD_LOGIN && export PKD_LOGIN": "tests/flows/test_login.py",
    'export PREFECT_API_AUTH_STRING="$PKD_LOGIN"': "tests/flows/test_up_login.py",
    'export PREFECT_API_AUTH_STRING="$(cat artifacts/login)"': "tests/flows/test_up.py",
    "prefect deployment run pkd/full-glue --watch": "tests/flows/test_up.py",
    "prefect deployment run pkd/compress --watch --param 'data=\"reviews.csv\"' --param student_layers=3 "
    "--param 'out=\"small\"'": "tests/flows/test_up_compress.py",
    "prefect deployment run pkd-search/staged --watch --param 'tasks=[\"MRPC\"]'": "tests/flows/test_up.py",
    "pkd run Reviews --teacher my-roberta --student-model google-bert/bert-base-uncased --student-layers 3": (
        "tests/pipeline/test_own_teacher_run.py"
    ),
    "cat lines.txt | pkd predict small --json": "tests/flows/test_predict_bundle.py",
    "export MLFLOW_TRACKING_URI=sqlite:///artifacts/mlflow.db": "tests/tasks/test_logged_bundle.py",
    "mlflow models serve --env-manager local -m models:/pkd-SST-2-3l-onnx@newest -p 5001": (
        "tests/tasks/test_logged_bundle.py"
    ),
    "curl -H 'Content-Type: application/json' localhost:5001/invocations "
    '-d \'{"dataframe_records": [{"sentence": "a charming journey"}]}\'': "tests/tasks/test_logged_bundle.py",
    "pkd search MRPC": "tests/flows/test_search_command.py",
    "prefect flow-run retry FLOW_RUN_ID": "tests/flows/test_up.py",
    "pip install '.[ray]'": "tests/test_packaging.py",
    "pkd run RTE MRPC --seeds 1,2,3,4 --placement ray": "tests/flows/test_ray_run.py",
    "pkd run RTE MRPC --seeds 1,2,3,4 --placement ray --students-per-gpu 2": "tests/flows/test_ray_run.py",
    "pkd run RTE --processes 2 teacher.accumulation_steps=2 student.accumulation_steps=2": (
        "tests/pipeline/test_in_processes.py"
    ),
}
TAKES_LONG = ("--seeds 1,2,3", "run Reviews", "student.num_epochs=6")


def commands() -> Iterator[str]:
    for block in re.findall(r"```bash\n(.*?)```", "\n".join(PAGES), flags=re.DOTALL):
        for line in re.sub(r"\\\n *", "", block).splitlines():
            if command := line.partition("#")[0].strip():
                yield command


def _compresses(command: str) -> bool:
    words = command.split()
    return words[:2] == ["pkd", "compress"] or words[:3] == ["pkd", "predict", "small"]


# Run in their order by tests/test_readme_compress.py.
COMPRESSING = [command for command in dict.fromkeys(commands()) if _compresses(command)]


def commands_to_run() -> Iterator[object]:
    for command in dict.fromkeys(commands()):
        if command not in RUN_ELSEWHERE and command not in COMPRESSING:
            slow = [pytest.mark.slow] if any(words in command for words in TAKES_LONG) else []
            yield pytest.param(command, marks=slow, id=command)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, server_variables: dict[str, str]) -> Iterator[Path]:
    """A workspace with RTE, MRPC and Reviews, and a 12-layer BERT in the hub's cache in place of the default model."""
    root = tmp_path_factory.mktemp("readme")
    write_tiny_glue(root / "data_raw")
    write_tiny_task(root / "data_raw", "Reviews")
    (task_file,) = re.findall(r"```toml\n(.*?)```", README, flags=re.DOTALL)
    labels = task_file.replace('"negative", "positive"', '"down", "up"')
    (root / "data_raw" / "Reviews" / "task.toml").write_text(labels, encoding="utf-8")
    cached = root / "hub" / f"models--{DEFAULT_MODEL.replace('/', '--')}"
    write_tiny_model(cached / "snapshots" / ("0" * 40), num_layers=12)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(root / "hub"))
        patch.chdir(root)
        for name, value in server_variables.items():
            patch.setenv(name, value)
        threads = torch.get_num_threads()
        yield root
    torch.set_num_threads(threads)


def test_commands_run_elsewhere_are_documented_and_their_tests_exist() -> None:
    assert RUN_ELSEWHERE.keys() <= set(commands())
    assert [path for path in RUN_ELSEWHERE.values() if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("command", commands_to_run())
def test_a_documented_command_succeeds(command: str, workspace: Path) -> None:
    program, *arguments = shlex.split(command)
    assert program == "pkd"
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0


SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_pipelines_snippet_of_the_readme_runs(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (snippet,) = (snippet for snippet in SNIPPETS if "run_plan" in snippet)
    exec(compile(snippet, "README.md", "exec"), {})
    assert "score" in capsys.readouterr().out


@pytest.mark.slow
def test_mlflows_snippet_of_the_readme_runs_in_a_process_of_its_own(workspace: Path) -> None:
    (snippet,) = (snippet for snippet in SNIPPETS if "mlflow" in snippet)
    done = subprocess.run(
        [sys.executable, "-c", snippet], capture_output=True, text=True, check=True, timeout=120
    )
    assert "probability_entailment" in done.stdout
    assert [path.relative_to(workspace).as_posix() for path in workspace.rglob("mlflow.db")] == [
        "artifacts/mlflow.db"
    ]
