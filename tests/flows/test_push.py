"""`pkd push` sends a model's files to the hub in one commit; the hub is a stand-in on this machine."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from command import run_pkd
from huggingface_hub import constants
from tiny import write_tiny_model
from tiny_bundle import write_tiny_bundle


class Hub:
    """What the stand-in has, and what it was sent.

    Attributes:
        private: Whether each repository is private, by name.
        files: Content of the pushed files, by path.
        logins: The Authorization headers.
    """

    def __init__(self) -> None:
        self.private: dict[str, bool] = {}
        self.files: dict[str, bytes] = {}
        self.logins: set[str] = set()

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            # Versions of huggingface_hub differ in how they ask.
            self.private[name] = asked.get("visibility") == "private" or asked.get("private") is True
            return 200, {"url": f"{constants.ENDPOINT}/{name}", "name": name}
        if path == "/api/validate-yaml":  # of the card
            return 200, {"errors": [], "warnings": []}
        repo = "/".join(path.split("/")[3:5])
        if repo not in self.private:
            return 404, {"error": "Repository not found"}
        if "/preupload/" in path:
            return 200, {
                "files": [
                    {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for one in json.loads(body)["files"]
                ]
            }
        if "/commit/" in path:
            for line in body.splitlines():
                one = json.loads(line)
                if one["key"] == "file":
                    self.files[one["value"]["path"]] = base64.b64decode(one["value"]["content"])
            return 200, {
                "success": True,
                "commitUrl": f"{constants.ENDPOINT}/{repo}/commit/{'1' * 40}",
                "commitOid": "1" * 40,
            }
        return 200, {"id": repo, "modelId": repo, "private": self.private[repo], "siblings": [], "tags": []}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            hub.logins.add(self.headers.get("Authorization", ""))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, answer = hub.answer(self.path.partition("?")[0], body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = reply

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def compressed(tmp_path: Path) -> Path:
    """A folder as `pkd compress --out` writes it."""
    folder = tmp_path / "small"
    write_tiny_model(folder / "transformers")
    config = folder / "transformers" / "config.json"
    settings = json.loads(config.read_text()) | {"architectures": ["BertForSequenceClassification"]}
    config.write_text(json.dumps(settings))
    write_tiny_bundle(folder / "bundle")
    (folder / "README.md").write_text("# A card\n")
    (folder / "pkd.json").write_text("{}")
    return folder


def test_a_compressed_model_goes_to_a_private_repository(
    hub: Hub, compressed: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd("push", str(compressed), "me/small") == 0, capfd.readouterr().err
    out, err = capfd.readouterr()
    assert out.splitlines()[-1].endswith("/me/small")
    assert hub.private == {"me/small": True}
    assert hub.files["README.md"] == b"# A card\n"
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        assert hub.files[name] == (compressed / "transformers" / name).read_bytes()
    assert {name for name in hub.files if name.startswith("bundle/")} == {
        f"bundle/{name}" for name in ("bundle.json", "model.onnx", "predict.py", "tokenizer.json")
    }
    assert "pkd.json" not in hub.files
    assert hub.logins == {"Bearer hf_secret"}
    assert "hf_secret" not in out + err


def test_public_is_said(hub: Hub, compressed: Path) -> None:
    assert run_pkd("push", str(compressed / "bundle"), "me/open", "--public") == 0
    assert hub.private == {"me/open": False}
    assert set(hub.files) == {"bundle.json", "model.onnx", "predict.py", "tokenizer.json"}


def test_a_public_repository_is_not_taken_for_a_private_one(
    hub: Hub, compressed: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.private["me/open"] = False
    assert run_pkd("push", str(compressed), "me/open") == 2
    assert "me/open is public already; say so with --public" in capfd.readouterr().err
    assert hub.files == {}
    assert run_pkd("push", str(compressed), "me/open", "--public") == 0
    assert "config.json" in hub.files


def test_without_a_network_or_a_model_it_is_one_sentence(
    compressed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refused(*arguments: str) -> str:
        assert run_pkd("push", *arguments) == 2
        err = capfd.readouterr().err
        assert err.count("\n") == 1, err
        return err

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert "needs an answer of the Hugging Face hub, got ConnectError" in refused(str(compressed), "me/small")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "got OfflineModeIsEnabled; connect to the network" in refused(str(compressed), "me/small")
    assert "is no name of a repository such as me/my-model" in refused(str(compressed), "me//small")
    assert "there is no model" in refused(str(tmp_path / "none"), "me/small")
