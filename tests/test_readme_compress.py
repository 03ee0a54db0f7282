"""Every command of README and docs that compresses a classifier runs, in the order of the pages, with tiny models."""

import csv
import random
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import run_pkd
from huggingface_hub import constants
from test_readme import COMPRESSING
from tiny import quick_arguments, write_tiny_model
from transformers import AutoTokenizer, BertForSequenceClassification

from pkd_core.config.settings import DEFAULT_MODEL

pytestmark = pytest.mark.slow
# What makes a command quick, and changes nothing of what it does.
QUICK = (*quick_arguments(), "latency.num_calls=20", "latency.max_seconds=1")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with reviews, a fine-tuned classifier of them, and a 6-layer BERT in place of the default model."""
    root = tmp_path_factory.mktemp("compress")
    rng = random.Random(0)
    with (root / "reviews.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for number in range(150):
            label, word = rng.choice([("up", "good"), ("up", "fine"), ("down", "bad"), ("down", "poor")])
            rows.writerow([f"the film {number} was {word}", label])
    (root / "tickets.csv").write_text("id,message\n1,the film was good\n2,it was bad\n", encoding="utf-8")
    cached = root / "hub" / f"models--{DEFAULT_MODEL.replace('/', '--')}"
    folder = cached / "snapshots" / ("0" * 40)
    write_tiny_model(folder, num_layers=6)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    names = {0: "down", 1: "up"}
    classifier = BertForSequenceClassification.from_pretrained(
        folder, num_labels=2, id2label=names, label2id={name: number for number, name in names.items()}
    )
    classifier.save_pretrained(root / "my-classifier")
    AutoTokenizer.from_pretrained(folder).save_pretrained(root / "my-classifier")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(root / "hub"))
        patch.chdir(root)
        yield root


@pytest.mark.parametrize("command", COMPRESSING)
def test_a_documented_command_succeeds(command: str, workspace: Path) -> None:
    program, name, *arguments = shlex.split(command)
    assert program == "pkd"
    quick = [] if name != "compress" or "--config" in arguments else QUICK
    if "--teacher" in arguments:
        quick = [setting for setting in quick if not setting.startswith("teacher.")]
    # Untrained weights may change more answers in int8 than a gate allows, and be no better than chance.
    assert run_pkd(name, *arguments, *quick) == 0
