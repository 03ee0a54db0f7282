"""A shell's completion knows commands, options, tasks, settings and their values."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("pkd pl", ["plan"]),
        ("pkd run M", ["MRPC", "MNLI"]),
        ("pkd run RTE --methods kd,pkd-s", ["kd,pkd-skip"]),
        ("pkd settings --method p", ["pkd-skip", "pkd-last"]),
        ("pkd plan RTE student.precision =", ["=auto", "=float32", "=bfloat16"]),
        ("pkd plan RTE student.precision = b", ["bfloat16"]),
    ],
)
def test_bash_completes_the_last_word(line: str, words: list[str]) -> None:
    variables = {
        "_PKD_COMPLETE": "complete_bash",
        "COMP_WORDS": line.replace(" ", "\n"),
        "COMP_CWORD": str(line.count(" ")),
    }
    code = f"import os; os.environ.update({variables}); from flows.cli.app import main; main([])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stdout.split() == words
    assert ended.stderr == ""
