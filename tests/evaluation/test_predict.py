"""Predictions keep the table's order, and submissions are what the GLUE server reads."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_bert import SCORE_TASK, TASK, make_table, padded, tiny_classifier

from pkd_core.data.glue import GLUE_TASKS
from pkd_core.evaluation.predict import count_parameters, predict, size_bytes
from pkd_core.evaluation.speed import speed_ratio
from pkd_core.evaluation.submission import write_submission
from pkd_core.runtime.cancellation import StoppedError

CPU = torch.device("cpu")


@pytest.mark.parametrize("max_tokens", [1, 64, 10_000])
def test_predictions_come_in_the_tables_order_whatever_the_batches(max_tokens: int) -> None:
    model, table = tiny_classifier(num_outputs=3).train(), make_table(40, first_id=9)
    example_ids, logits = predict(model, table, CPU, max_tokens)
    assert model.training
    assert example_ids.tolist() == list(range(9, 49))
    assert logits.dtype == np.float32
    model.eval()
    with torch.inference_mode():
        alone = [model(**padded(table, [row])).logits[0].numpy() for row in range(40)]
    np.testing.assert_allclose(logits, alone, atol=1e-5)


def test_class_submissions_carry_label_texts_and_the_files_own_numbers(tmp_path: Path) -> None:
    logits = np.array([[0.1, 0.9], [2.0, 1.0], [-1.0, 0.0]])
    write_submission(tmp_path / "RTE.tsv", GLUE_TASKS["RTE"], np.array([0, 7, 3]), logits)
    expected = b"index\tprediction\n0\tnot_entailment\n7\tentailment\n3\tnot_entailment\n"
    assert (tmp_path / "RTE.tsv").read_bytes() == expected
    write_submission(tmp_path / "Tiny.tsv", TASK, np.array([5]), logits[:1])
    assert (tmp_path / "Tiny.tsv").read_bytes() == b"index\tprediction\n5\tyes\n"


def test_score_submissions_stay_within_the_range(tmp_path: Path) -> None:
    logits = np.array([[-0.2], [3.14159], [5.5]])
    write_submission(tmp_path / "STS-B.tsv", SCORE_TASK, np.arange(3), logits)
    assert (tmp_path / "STS-B.tsv").read_text() == "index\tprediction\n0\t0.000\n1\t3.142\n2\t5.000\n"


def test_a_shallower_student_is_faster_than_its_teacher() -> None:
    student, teacher = tiny_classifier(num_layers=1), tiny_classifier(num_layers=8)
    assert speed_ratio(student, teacher, make_table(40), 3, CPU) > 2


def test_sizes_are_counted_in_weights_and_bytes() -> None:
    layer = torch.nn.Linear(3, 4)
    assert count_parameters(layer) == 16
    assert size_bytes(layer.half()) == 32


def test_whoever_observes_a_prediction_hears_of_each_batch_and_can_end_it() -> None:
    model, table = tiny_classifier(2), make_table(40)
    heard: list[int] = []
    predict(model, table, CPU, 64, heard.append)
    assert heard == sorted(set(heard))
    assert len(heard) > 3
    assert heard[-1] == 40

    def stop(num_done: int) -> None:
        assert num_done == heard[0]
        raise StoppedError("stopped here")

    with pytest.raises(StoppedError):
        predict(model, table, CPU, 64, stop)
