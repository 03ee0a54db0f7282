"""Models are found in folders and on the Hugging Face hub; what a run is made from is addressed by its bytes."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tiny import write_tiny_model, write_tiny_task

from pkd_core.data.glue import load_task
from pkd_core.errors import DataError, ModelError
from pkd_core.pipeline.models import check_model, find_model
from pkd_core.pipeline.sources import has_raw_files, hash_raw_files
from pkd_core.store.fingerprint import sha256_file

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert") / "tiny"
    write_tiny_model(folder, num_layers=2)
    return folder


@pytest.fixture
def model(bert: Path, tmp_path: Path) -> Path:
    """A copy of a tiny BERT, to be corrupted."""
    shutil.copytree(bert, tmp_path / "model")
    return tmp_path / "model"


def test_a_folder_is_found_with_its_depth(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    found = find_model("model")
    assert (found.name, found.folder) == ("model", model)
    assert (found.num_layers, found.max_length) == (2, 256)


def test_a_folder_s_short_name_is_its_last_part_and_a_hub_name_stays(model: Path) -> None:
    found = find_model(str(model))
    assert found.short_name == "model"
    cached = model / "models--nobody--bert" / "snapshots" / "4f3a"
    assert replace(found, name="nobody/bert", folder=cached).short_name == "nobody/bert"


def test_hashes_depend_on_bytes_and_not_on_paths(model: Path, bert: Path) -> None:
    original, copy = find_model(str(bert)), find_model(str(model))
    assert replace(copy, name=original.name, folder=original.folder) == original
    (model / "README.md").write_text("Says nothing.", encoding="utf-8")
    assert find_model(str(model)) == copy
    tokenizer = model / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text(encoding="utf-8").replace("film", "kino"), encoding="utf-8")
    other_words = find_model(str(model))
    assert other_words.tokenizer != copy.tokenizer
    assert other_words.weights == copy.weights
    with (model / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x7f")
    other_weights = find_model(str(model))
    assert other_weights.weights != copy.weights
    assert other_weights.tokenizer == other_words.tokenizer
    config = model / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace("0.1", "0.2"), encoding="utf-8")
    assert find_model(str(model)).weights != other_weights.weights


def test_a_folder_without_a_fast_tokenizer_is_refused_with_a_remedy(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    found = find_model(str(model))
    with pytest.raises(ModelError, match=rf"^{model} needs a tokenizer\.json .* AutoTokenizer\."):
        check_model(found)


def test_a_folder_without_safetensors_is_refused_while_planning(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        find_model(str(model))


def test_a_model_of_another_kind_is_refused(model: Path) -> None:
    config = json.loads((model / "config.json").read_text(encoding="utf-8")) | {"model_type": "roberta"}
    (model / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match="roberta"):
        find_model(str(model))


@pytest.mark.parametrize(
    "name", ["./absent", "/absent", "/absent/model", "~/absent-model", "models/bert/base"]
)
def test_a_missing_path_is_not_looked_up_on_the_hub(name: str) -> None:
    with pytest.raises(ModelError, match=rf"^there is no model folder {name}; "):
        find_model(name)


@pytest.mark.parametrize("name", ["no body", "some/.model", "a--b"])
def test_an_invalid_hub_name_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="neither a folder nor a valid name"):
        find_model(name)


def test_a_hub_name_offline_gives_a_remedy() -> None:
    with pytest.raises(ModelError, match=r"^the model nobody/bert is not on this machine and .* --model\.$"):
        find_model("nobody/bert")


def test_raw_files_are_hashed_and_optional_ones_may_be_absent(tmp_path: Path) -> None:
    write_tiny_task(tmp_path)
    task = load_task("Tiny", tmp_path)
    hashes = hash_raw_files(task, tmp_path)
    assert hashes == {
        split: sha256_file(tmp_path / "Tiny" / f"{split}.tsv") for split in ("train", "dev", "test")
    }
    (tmp_path / "Tiny" / "test.tsv").unlink()
    assert hash_raw_files(task, tmp_path).keys() == {"train", "dev"}
    assert has_raw_files(task, tmp_path)


def test_an_absent_required_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    write_tiny_task(tmp_path)
    (tmp_path / "Tiny" / "dev.tsv").unlink()
    for name, path, remedy in (
        ("Tiny", "Tiny/dev.tsv", "put the file there."),
        ("RTE", "RTE/train.tsv", "run `pkd fetch RTE`, or put the file there."),
    ):
        task = load_task(name, tmp_path)
        assert not has_raw_files(task, tmp_path)
        with pytest.raises(DataError) as caught:
            hash_raw_files(task, tmp_path)
        assert str(caught.value) == f"{name} needs {tmp_path / path}, which does not exist; {remedy}"


class Hub(ThreadingHTTPServer):
    """A stand-in for the hub: one public model, and what was asked of it."""

    def __init__(self, name: str, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Desk)
        self.name = name
        self.files = files
        self.asked: list[str] = []

    @property
    def downloads(self) -> list[str]:
        """The files that were sent, each as often as it was."""
        start = f"GET /{self.name}/resolve/{COMMIT}/"
        return sorted(line.removeprefix(start) for line in self.asked if line.startswith(start))


class Desk(BaseHTTPRequestHandler):
    """Answers as the hub does: a model's commit, its list of files, and its files."""

    server: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def _answer(self, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(f"{self.command} {path}")
        name, files = self.server.name, self.server.files
        headers = {"X-Repo-Commit": COMMIT}
        status, body = 200, b""
        if path in (f"/api/models/{name}", f"/api/models/{name}/revision/main"):
            siblings = [{"rfilename": file} for file in files]
            body = json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode()
        elif path == f"/api/models/{name}/tree/{COMMIT}":
            listed = [
                {"type": "file", "path": file, "size": len(content), "oid": f"{position:040x}"}
                for position, (file, content) in enumerate(files.items())
            ]
            body = json.dumps(listed).encode()
        elif path.startswith(f"/{name}/resolve/") and path.rpartition("/")[2] in files:
            file = path.rpartition("/")[2]
            body = files[file]
            headers["ETag"] = f'"{list(files).index(file):040x}"'
        else:
            status = 404
            headers["X-Error-Code"] = "RepoNotFound"
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(key, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)


@pytest.fixture
def hub(bert: Path) -> Iterator[Hub]:
    files = {path.name: path.read_bytes() for path in sorted(bert.iterdir())}
    server = Hub("someone/tiny-bert", files | {"pytorch_model.bin": b"pickled", "README.md": b"words"})
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


ASK = """
import dataclasses, json, sys
from pkd_core.errors import ModelError
from pkd_core.pipeline.models import find_model
for name in map(str.strip, sys.stdin):
    try:
        outcome = dataclasses.asdict(find_model(name))
    except ModelError as error:
        outcome = str(error)
    print(json.dumps(outcome, default=str), flush=True)
"""


@pytest.fixture
def asker(hub: Hub, tmp_path: Path) -> Iterator[Any]:
    """Asks a process for models by name: huggingface_hub settles where the hub is when it is imported."""
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    environment |= {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(tmp_path / "hf")}
    process = subprocess.Popen(
        [sys.executable, "-c", ASK], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin and process.stdout
    to, back = process.stdin, process.stdout

    def ask(name: str) -> Any:
        to.write(f"{name}\n")
        to.flush()
        return json.loads(back.readline())

    yield ask
    process.communicate()
    assert process.returncode == 0


@pytest.mark.slow
def test_a_hub_model_is_downloaded_once_and_then_found_without_the_hub(
    hub: Hub, asker: Any, bert: Path
) -> None:
    found = asker(hub.name)
    local = find_model(str(bert))
    assert (found["weights"], found["tokenizer"], found["num_layers"]) == (local.weights, local.tokenizer, 2)
    # Not the pickled weights, and nothing that is not read.
    wanted = sorted(path.name for path in bert.iterdir())
    assert hub.downloads == wanted
    assert sorted(path.name for path in Path(found["folder"]).iterdir()) == wanted

    assert asker(hub.name) == found
    assert hub.downloads == wanted
    assert "could not be fetched" in asker("someone/else") and "RepositoryNotFound" in asker("someone/else")

    hub.shutdown()
    hub.server_close()
    assert asker(hub.name) == found
    assert asker("someone/else") == (
        "the model someone/else is not on this machine and the Hugging Face hub does not answer; "
        "connect to the network, or name a local folder with --model."
    )
