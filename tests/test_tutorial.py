"""docs/tutorial.md runs from its first line to its last, with a tiny BERT in place of the default model."""

import re
from pathlib import Path

import pytest
from huggingface_hub import constants
from tiny import write_tiny_model

from pkd_core.config.settings import DEFAULT_MODEL

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tutorial.md"


@pytest.mark.slow
def test_the_tutorial_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cached = tmp_path / "hub" / f"models--{DEFAULT_MODEL.replace('/', '--')}"
    write_tiny_model(cached / "snapshots" / ("0" * 40), num_layers=12)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    for snippet in snippets:
        exec(compile(snippet, "tutorial.md", "exec"), names)
    shown = capsys.readouterr().out
    assert "reviews: accuracy on 40 test examples" in shown
    assert "'label': 'good'" in shown or "'label': 'bad'" in shown
    assert len(list(tmp_path.glob("artifacts/reviews/teacher-*"))) == 1
    for out, depth in (("small", 3), ("deeper", 6)):
        config = (tmp_path / out / "transformers" / "config.json").read_text(encoding="utf-8")
        assert f'"num_hidden_layers": {depth}' in config
        assert (tmp_path / out / "bundle" / "predict.py").is_file()
        assert (tmp_path / out / "compression.html").is_file()
