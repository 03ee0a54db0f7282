"""Classifiers are built from any BERT folder, and saved and loaded without loss."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_bert import SCORE_TASK, TASK, make_table, tiny_classifier, tiny_config
from transformers import BertForSequenceClassification, BertModel

from pkd_core.errors import ModelError
from pkd_core.model.file_checks import read_config
from pkd_core.model.forward import forward
from pkd_core.model.loading import build_classifier, load_classifier, save_classifier
from pkd_core.model.packing import pack

WEIGHTS = "model.safetensors"


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    """A BERT without any head, in a folder."""
    torch.manual_seed(0)
    BertModel(tiny_config()).save_pretrained(tmp_path / "pretrained")
    return tmp_path / "pretrained"


def change_weights(folder: Path, *, drop: str = "", rename: tuple[str, str] = ("", "")) -> None:
    weights = load_file(folder / WEIGHTS)
    kept = {name.replace(*rename): value for name, value in weights.items() if not (drop and drop in name)}
    assert set(kept) != set(weights)
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})


def same_weights(left: torch.nn.Module, right: torch.nn.Module) -> bool:
    first, second = left.state_dict(), right.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def drawn(*shapes: tuple[int, int], seed: int) -> list[torch.Tensor]:
    """Return new weights of these shapes, one after another from one generator, of the configuration's deviation."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.empty(shape).normal_(0.0, 0.1, generator=generator) for shape in shapes]


def test_a_classifier_has_the_pretrained_body_and_a_head_that_depends_on_the_seed(pretrained: Path) -> None:
    model, again, other = (build_classifier(pretrained, TASK, seed) for seed in (1, 1, 2))
    source = load_file(pretrained / WEIGHTS)
    body = model.bert.state_dict()
    assert body.keys() == source.keys()
    assert all(torch.equal(value, body[name]) for name, value in source.items())
    assert same_weights(model, again)
    assert not torch.equal(model.classifier.weight, other.classifier.weight)
    assert same_weights(model.bert, other.bert)
    assert torch.equal(model.classifier.weight, drawn((2, 32), seed=1)[0])
    assert model.classifier.bias.count_nonzero() == 0
    assert model.config._attn_implementation == "sdpa"
    assert not model.training


def test_the_tasks_labels_are_saved_with_the_model(pretrained: Path, tmp_path: Path) -> None:
    build_classifier(pretrained, TASK, 1).save_pretrained(tmp_path / "teacher")
    config = read_config(tmp_path / "teacher")
    assert config.id2label == {0: "no", 1: "yes"}
    assert config.label2id == {"no": 0, "yes": 1}
    assert config.problem_type == "single_label_classification"
    scores = build_classifier(pretrained, SCORE_TASK, 1).config
    assert (scores.num_labels, scores.id2label, scores.problem_type) == (1, {0: "score"}, "regression")


@pytest.mark.parametrize("layers", [[1, 2], [2, 4], [3], [1, 2, 3, 4]])
def test_a_student_copies_exactly_the_chosen_layers(pretrained: Path, layers: list[int]) -> None:
    student, source = build_classifier(pretrained, TASK, 1, layers), load_file(pretrained / WEIGHTS)
    assert student.config.num_hidden_layers == len(student.bert.encoder.layer) == len(layers)
    for position, layer in enumerate(layers):
        for name, value in student.bert.encoder.layer[position].state_dict().items():
            assert torch.equal(value, source[f"encoder.layer.{layer - 1}.{name}"]), (layer, name)
    for part in ("embeddings", "pooler"):
        for name, value in getattr(student.bert, part).state_dict().items():
            assert torch.equal(value, source[f"{part}.{name}"]), name


def test_teacher_and_student_of_one_seed_start_from_the_same_head(pretrained: Path) -> None:
    teacher, student = (build_classifier(pretrained, TASK, 1, layers) for layers in (None, [1, 2]))
    assert same_weights(teacher.classifier, student.classifier)
    assert teacher.config.num_hidden_layers == len(teacher.bert.encoder.layer) == 4


def test_a_student_takes_the_body_of_a_finetuned_teacher_but_not_its_head(tmp_path: Path) -> None:
    teacher = tiny_classifier()
    torch.nn.init.ones_(teacher.classifier.bias)
    teacher.save_pretrained(tmp_path)
    student = build_classifier(tmp_path, TASK, 1, [2, 4])
    assert same_weights(student.bert.encoder.layer[1], teacher.bert.encoder.layer[3])
    assert same_weights(student.bert.pooler, teacher.bert.pooler)
    assert student.classifier.weight.shape == teacher.classifier.weight.shape
    assert not torch.equal(student.classifier.weight, teacher.classifier.weight)
    assert student.classifier.bias.count_nonzero() == 0
    assert build_classifier(tmp_path, SCORE_TASK, 1, [2, 4]).classifier.weight.shape == (1, 32)


def test_a_saved_student_is_loaded_as_it_was(pretrained: Path, tmp_path: Path) -> None:
    student = build_classifier(pretrained, TASK, 1, [2, 4])
    save_classifier(student, tmp_path / "student")
    loaded = load_classifier(tmp_path / "student")
    batch = pack(make_table(3), np.arange(3))
    assert same_weights(loaded, student)
    assert torch.equal(forward(loaded, batch).logits_BC, forward(student, batch).logits_BC)
    assert type(loaded) is BertForSequenceClassification


@pytest.mark.parametrize("layers", [[], [0, 1], [4, 5], [2, 2], [3, 1]])
def test_layers_that_the_model_does_not_have_or_that_do_not_rise_are_an_error(
    pretrained: Path, layers: list[int]
) -> None:
    message = f"{pretrained}: expected rising layers from 1 to 4, got {layers}; choose fewer"
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        build_classifier(pretrained, TASK, 1, layers)


def test_loading_and_saving_leave_torchs_global_generator_as_it_was(pretrained: Path, tmp_path: Path) -> None:
    change_weights(pretrained, drop="pooler")
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    save_classifier(build_classifier(pretrained, TASK, 1), tmp_path / "saved")
    load_classifier(tmp_path / "saved")
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_global_generator_does_not_change_a_new_head(pretrained: Path) -> None:
    change_weights(pretrained, drop="pooler")
    models = []
    for seed in (5, 6):
        torch.manual_seed(seed)
        models.append(build_classifier(pretrained, TASK, 1))
    assert same_weights(*models)


def test_weight_names_of_old_checkpoints_are_understood(pretrained: Path) -> None:
    expected = build_classifier(pretrained, TASK, 1)
    change_weights(pretrained, rename=("LayerNorm.weight", "LayerNorm.gamma"))
    change_weights(pretrained, rename=("LayerNorm.bias", "LayerNorm.beta"))
    assert same_weights(build_classifier(pretrained, TASK, 1), expected)


def test_half_precision_checkpoints_are_loaded_in_float32(pretrained: Path) -> None:
    build_classifier(pretrained, TASK, 1).half().save_pretrained(pretrained)
    for model in (build_classifier(pretrained, TASK, 1), load_classifier(pretrained)):
        assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_a_missing_pooler_is_new_seeded_and_logged(
    pretrained: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change_weights(pretrained, drop="pooler")
    caplog.set_level("INFO")
    model, other = build_classifier(pretrained, TASK, 1), build_classifier(pretrained, TASK, 2)
    message = f"{pretrained} has no pooler; a random one is trained with the classifier"
    assert [record.message for record in caplog.records if record.name.startswith("pkd_core")] == [
        message
    ] * 2
    pooler = model.bert.pooler.dense
    assert not torch.equal(pooler.weight, other.bert.pooler.dense.weight)
    head, weight = drawn((2, 32), (32, 32), seed=1)
    assert torch.equal(model.classifier.weight, head)
    assert torch.equal(pooler.weight, weight)
    assert pooler.bias.count_nonzero() == 0


def test_a_missing_or_misshapen_weight_of_the_body_is_an_error(pretrained: Path) -> None:
    config = json.loads((pretrained / "config.json").read_text())
    (pretrained / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    with pytest.raises(ModelError, match="12 weights are absent or of another shape"):
        build_classifier(pretrained, TASK, 1)
    (pretrained / "config.json").write_text(json.dumps(config))
    change_weights(pretrained, drop="encoder.layer.2.attention.self.key.weight")
    message = (
        f"{pretrained}: expected a complete BERT, 1 weights are absent or of another shape, such as "
        "bert.encoder.layer.2.attention.self.key.weight; fetch the model again"
    )
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        build_classifier(pretrained, TASK, 1)


def test_a_checkpoint_without_a_classifier_or_with_one_of_another_shape_is_an_error(
    pretrained: Path, tmp_path: Path
) -> None:
    message = f"{pretrained}: expected a trained model, found no classifier.bias; train it again"
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        load_classifier(pretrained)
    tiny_classifier(num_outputs=3).save_pretrained(tmp_path / "trained")
    config = json.loads((tmp_path / "trained" / "config.json").read_text())
    config |= {"id2label": {"0": "no", "1": "yes"}, "label2id": {"no": 0, "yes": 1}}
    (tmp_path / "trained" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="found no classifier"):
        load_classifier(tmp_path / "trained")


def test_truncated_weights_are_an_error(pretrained: Path) -> None:
    content = (pretrained / WEIGHTS).read_bytes()
    for kept in (len(content) // 2, 4):
        (pretrained / WEIGHTS).write_bytes(content[:kept])
        with pytest.raises(ModelError) as raised:
            build_classifier(pretrained, TASK, 1)
        start, end = f"{pretrained}: expected a complete BERT, got ", "; fetch the model again"
        assert re.fullmatch(f"{re.escape(start)}[^\n]+{end}", str(raised.value))


def test_pickled_weights_are_never_loaded(pretrained: Path) -> None:
    (pretrained / WEIGHTS).rename(pretrained / "pytorch_model.bin")
    with pytest.raises(ModelError, match="save_pretrained"):
        build_classifier(pretrained, TASK, 1)
