"""Examples of several sequences each: packed, scored as transformers' BertForMultipleChoice, stored and distilled."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_resuming import Killed, Stop
from tiny_bert import Recorder, make_table, padded, tiny_classifier
from trainings import CPU, SETTINGS, run
from transformers import BertForMultipleChoice, BertForSequenceClassification

from pkd_core.data.token_table import TokenTable, length_sorted_batches
from pkd_core.model.forward import forward
from pkd_core.model.packing import pack
from pkd_core.teacher_states.extraction import extract
from pkd_core.teacher_states.reader import TeacherStates
from pkd_core.training.checkpoints import Checkpoints
from pkd_core.training.heads import Heads
from pkd_core.training.objective import Objective
from pkd_core.training.projections import Projections

CHOICES = 4
SLOW = ("finetune", "kd", "kd.full", "projected")


def choice_table(num_rows: int, seed: int = 0) -> TokenTable:
    """Return questions of four sequences; the right one's third token is 11, the others' is 10."""
    single = make_table(num_rows * CHOICES, seed)
    labels = np.random.default_rng(seed).integers(0, CHOICES, num_rows)
    input_ids = single.input_ids.copy()
    thirds = single.offsets[:-1] + 2
    input_ids[thirds] = 10
    input_ids[thirds[np.arange(num_rows) * CHOICES + labels]] = 11
    return replace(
        single,
        example_ids_R=np.arange(num_rows, dtype=np.int64) + 70,
        input_ids=input_ids,
        labels_R=labels,
        num_choices=CHOICES,
    )


def as_choice_model(model: BertForSequenceClassification) -> BertForMultipleChoice:
    other = BertForMultipleChoice(model.config).eval()
    other.load_state_dict(model.state_dict())
    return other


@pytest.mark.parametrize("rows", [[0], [5, 2, 7, 3], list(range(9))])
def test_logits_and_states_equal_those_of_transformers_multiple_choice(rows: list[int]) -> None:
    table, model = choice_table(9), tiny_classifier(3, num_outputs=1)
    sequences = table.sequences_of(np.array(rows)).tolist()
    inputs = {name: values.view(len(rows), CHOICES, -1) for name, values in padded(table, sequences).items()}
    with torch.no_grad():
        batch = pack(table, np.array(rows))
        outputs = forward(model, batch)
        expected = as_choice_model(model)(**inputs, output_hidden_states=True)
    assert batch.example_ids_B.tolist() == [70 + row for row in rows]
    torch.testing.assert_close(outputs.logits_BC, expected.logits)
    for layer in (1, 2, 3):
        # As in the authors' code: the choices' states one after the other.
        states = expected.hidden_states[layer][:, 0].reshape(len(rows), -1)
        torch.testing.assert_close(outputs.cls_states_BND[:, layer - 1], states)


def test_batches_are_bounded_by_the_sequences_of_their_rows() -> None:
    table = choice_table(30)
    batches = list(length_sorted_batches(table, 300))
    assert sorted(np.concatenate(batches).tolist()) == list(range(30))
    for rows in batches:
        lengths = table.lengths[table.sequences_of(rows)]
        assert len(rows) == 1 or len(lengths) * lengths.max() <= 300
    assert len(batches) < 30


def objective(
    folder: Path, table: TokenTable, teacher: BertForSequenceClassification, **changes: object
) -> Objective:
    extract(teacher, table, folder, "float32", Recorder(), device=CPU)
    values = {"alpha": 0.5, "temperature": 4.0, "distillation_reduction": "batch_mean"}
    return Objective(**values | {"teacher_states": TeacherStates.open(folder)} | changes)


def test_stored_states_are_those_of_the_examples_choices(tmp_path: Path) -> None:
    table, teacher = choice_table(10), tiny_classifier(4, seed=5, num_outputs=1)
    states = objective(tmp_path, table, teacher).teacher_states
    assert (states.shape.num_outputs, states.shape.hidden_size) == (CHOICES, CHOICES * 32)
    targets = states.gather(torch.tensor([75, 70]), [2])
    with torch.no_grad():
        outputs = forward(teacher, pack(table, np.array([5, 0])))
    torch.testing.assert_close(targets.logits_BC, outputs.logits_BC)
    torch.testing.assert_close(targets.cls_states_BMD[:, 0], outputs.cls_states_BND[:, 1])


@pytest.mark.parametrize("method", ["pkd", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_every_method_learns_and_a_killed_training_ends_with_the_same_bits(
    tmp_path: Path, method: str
) -> None:
    table = choice_table(64)
    settings = SETTINGS.model_copy(update={"num_epochs": 8, "batch_size": 16, "accumulation_steps": 2})
    teacher = tiny_classifier(4, seed=5, num_outputs=1)
    run(teacher, table, settings, dev=choice_table(16, 1), metrics=("accuracy",))
    patient = {"beta": 1.0, "layer_map": ((1, 2),)}
    ends = []
    for name, stops in (("whole", []), ("killed", [3, 9])):
        for step in [*stops, 0]:
            changes = {
                "finetune": {},
                "kd": {},
                "pkd": patient,
                "kd.full": {"heads": Heads((1,), 32, 1, 0.1, seed=1)},
                "projected": patient | {"projections": Projections(1, 32, 32, seed=1)},
            }[method]
            goal = None if method == "finetune" else objective(tmp_path / name, table, teacher, **changes)
            model, observer = tiny_classifier(2, seed=3, num_outputs=1), Stop(step, Killed)
            checkpoints = Checkpoints(
                tmp_path / f"{name}-work", tmp_path / f"{name}-work", 0.0 if step else 1e9
            )
            arguments = {"dev": choice_table(32, 2), "metrics": ("accuracy",), "objective": goal}
            arguments |= {"observer": observer, "checkpoints": checkpoints}
            if step:
                with pytest.raises(Killed):
                    run(model, table, settings, **arguments)
            else:
                result = run(model, table, settings, **arguments)
        ends.append((result, model.state_dict()))
    (whole, weights), (killed, killed_weights) = ends
    assert killed == whole
    assert whole.best_score > 0.5, "chance is 0.25"
    for name, value in weights.items():
        assert torch.equal(killed_weights[name], value), name
