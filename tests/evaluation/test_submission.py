"""Submission files have the format that the GLUE server reads."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from tiny_bert import SCORE_TASK, TASK

from pkd_core.data.glue import GLUE_TASKS
from pkd_core.evaluation.submission import write_submission


def test_class_submissions_hold_label_texts_and_the_test_files_numbering(tmp_path: Path) -> None:
    logits = np.array([[0.1, 0.9], [2.0, 1.0], [-1.0, 0.0]])
    write_submission(tmp_path / "RTE.tsv", GLUE_TASKS["RTE"], np.array([0, 7, 3]), logits)
    expected = b"index\tprediction\n0\tnot_entailment\n7\tentailment\n3\tnot_entailment\n"
    assert (tmp_path / "RTE.tsv").read_bytes() == expected
    write_submission(tmp_path / "Tiny.tsv", TASK, np.array([5]), logits[:1])
    assert (tmp_path / "Tiny.tsv").read_bytes() == b"index\tprediction\n5\tyes\n"


def test_submissions_of_three_classes_hold_the_label_of_the_largest_logit(tmp_path: Path) -> None:
    task = GLUE_TASKS["MNLI"]
    write_submission(tmp_path / "MNLI-m.tsv", task, np.arange(3), np.eye(3)[[2, 0, 1]])
    labels = [line.split("\t")[1] for line in (tmp_path / "MNLI-m.tsv").read_text().splitlines()[1:]]
    assert labels == [task.labels[2], task.labels[0], task.labels[1]]


def test_score_submissions_are_clipped_to_the_range_with_three_decimals(tmp_path: Path) -> None:
    logits = np.array([[-0.2], [3.14159], [5.5]], np.float32)
    write_submission(tmp_path / "STS-B.tsv", SCORE_TASK, np.array([4, 5, 6]), logits)
    assert (tmp_path / "STS-B.tsv").read_text() == "index\tprediction\n4\t0.000\n5\t3.142\n6\t5.000\n"


def test_scores_of_a_task_without_a_range_are_not_clipped(tmp_path: Path) -> None:
    task = replace(SCORE_TASK, label_range=None)
    write_submission(tmp_path / "free.tsv", task, np.array([0]), np.array([[-7.25]]))
    assert (tmp_path / "free.tsv").read_text() == "index\tprediction\n0\t-7.250\n"


def test_several_labels_of_a_line_are_joined(tmp_path: Path) -> None:
    task = replace(TASK, labels=("joy", "fear", "anger"), multi_label=True)
    logits = np.array([[1.0, -1.0, 0.5], [-1.0, -2.0, -3.0], [-1.0, 2.0, -3.0]])
    write_submission(tmp_path / "moods.tsv", task, np.array([2, 0, 1]), logits)
    assert (tmp_path / "moods.tsv").read_text() == "index\tprediction\n2\tjoy|anger\n0\t\n1\tfear\n"
