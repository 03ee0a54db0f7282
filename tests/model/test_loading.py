"""Models come whole from any BERT folder, and go back as whole."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_bert import SCORE_TASK, TASK, make_table, tiny_classifier, tiny_config
from transformers import BertForMaskedLM, BertForSequenceClassification, BertModel

from pkd_core.errors import ModelError
from pkd_core.model.file_checks import read_config
from pkd_core.model.forward import forward
from pkd_core.model.loading import build_classifier, load_classifier, save_classifier
from pkd_core.model.packing import pack

WEIGHTS = "model.safetensors"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    BertModel(tiny_config()).save_pretrained(tmp_path / "bare")
    return tmp_path / "bare"


def change_weights(folder: Path, *, drop: str = "", rename: tuple[str, str] = ("", "")) -> None:
    weights = load_file(folder / WEIGHTS)
    kept = {name.replace(*rename): value for name, value in weights.items() if not (drop and drop in name)}
    assert set(kept) != set(weights)
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})


def same_weights(left: torch.nn.Module, right: torch.nn.Module) -> bool:
    mine, other = left.state_dict(), right.state_dict()
    return mine.keys() == other.keys() and all(torch.equal(mine[name], other[name]) for name in mine)


def test_teacher_has_the_pretrained_body_and_a_seeded_classifier(bare: Path) -> None:
    teacher, again, other = (build_classifier(bare, TASK, seed) for seed in (1, 1, 2))
    source = load_file(bare / WEIGHTS)
    body = teacher.bert.state_dict()
    assert all(torch.equal(value, body[name]) for name, value in source.items())
    assert same_weights(teacher, again)
    assert not torch.equal(teacher.classifier.weight, other.classifier.weight)
    assert same_weights(teacher.bert, other.bert)
    assert teacher.classifier.weight.std().item() == pytest.approx(0.1, rel=0.4)
    assert teacher.classifier.bias.count_nonzero() == 0
    assert teacher.config._attn_implementation == "sdpa"


def test_labels_of_the_task_are_saved_with_the_model(bare: Path, tmp_path: Path) -> None:
    build_classifier(bare, TASK, 1).save_pretrained(tmp_path / "teacher")
    assert read_config(tmp_path / "teacher").id2label == {0: "no", 1: "yes"}
    assert build_classifier(bare, SCORE_TASK, 1).config.num_labels == 1


@pytest.mark.parametrize("layers", [[1, 2], [2, 4], [1, 2, 3, 4]])
def test_student_copies_the_chosen_layers(bare: Path, layers: list[int]) -> None:
    student, source = build_classifier(bare, TASK, 1, layers), build_classifier(bare, TASK, 1)
    assert student.config.num_hidden_layers == len(student.bert.encoder.layer) == len(layers)
    for copy, layer in zip(student.bert.encoder.layer, layers, strict=True):
        assert same_weights(copy, source.bert.encoder.layer[layer - 1])
    assert same_weights(student.bert.embeddings, source.bert.embeddings)
    assert same_weights(student.bert.pooler, source.bert.pooler)


def test_student_of_a_finetuned_teacher_takes_its_body_and_not_its_classifier(tmp_path: Path) -> None:
    teacher = tiny_classifier(num_outputs=3)
    teacher.save_pretrained(tmp_path)
    student = build_classifier(tmp_path, TASK, 1, [2, 4])
    assert same_weights(student.bert.encoder.layer[1], teacher.bert.encoder.layer[3])
    assert student.classifier.weight.shape == (2, 32)
    same_size = build_classifier(tmp_path, SCORE_TASK, 1, [2, 4])
    assert same_size.classifier.weight.shape == (1, 32)


def test_finetuned_student_comes_back_as_it_was_saved(bare: Path, tmp_path: Path) -> None:
    student = build_classifier(bare, TASK, 1, [2, 4]).eval()
    save_classifier(student, tmp_path / "student")
    loaded = load_classifier(tmp_path / "student")
    batch = pack(make_table(3), np.arange(3))
    assert same_weights(loaded, student)
    assert torch.equal(forward(loaded, batch).logits_BC, forward(student, batch).logits_BC)


@pytest.mark.parametrize("layers", [[], [0, 1], [4, 5], [2, 2], [3, 1]])
def test_layers_that_the_model_has_not_are_refused(bare: Path, layers: list[int]) -> None:
    with pytest.raises(ModelError, match="rising layers from 1 to 4"):
        build_classifier(bare, TASK, 1, layers)


def test_loading_and_saving_print_nothing(
    bare: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    BertForMaskedLM(tiny_config()).save_pretrained(tmp_path / "masked")
    capfd.readouterr()
    build_classifier(bare, TASK, 1)
    save_classifier(build_classifier(tmp_path / "masked", TASK, 1), tmp_path / "saved")
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


def test_names_of_old_checkpoints_are_understood(bare: Path) -> None:
    expected = build_classifier(bare, TASK, 1)
    change_weights(bare, rename=("LayerNorm.weight", "LayerNorm.gamma"))
    change_weights(bare, rename=("LayerNorm.bias", "LayerNorm.beta"))
    assert same_weights(build_classifier(bare, TASK, 1), expected)


def test_half_precision_checkpoints_are_trained_in_float32(bare: Path) -> None:
    build_classifier(bare, TASK, 1).half().save_pretrained(bare)
    model = build_classifier(bare, TASK, 1)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_absent_pooler_is_new_seeded_and_logged(bare: Path, caplog: pytest.LogCaptureFixture) -> None:
    change_weights(bare, drop="pooler")
    caplog.set_level("INFO")
    teacher, again = build_classifier(bare, TASK, 1), build_classifier(bare, TASK, 1)
    assert "has no pooler" in caplog.text
    assert same_weights(teacher, again)


def test_absent_or_misshapen_body_weight_is_an_error(bare: Path) -> None:
    config = json.loads((bare / "config.json").read_text())
    (bare / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    with pytest.raises(ModelError, match="another shape"):
        build_classifier(bare, TASK, 1)
    (bare / "config.json").write_text(json.dumps(config))
    change_weights(bare, drop="encoder.layer.2.attention.self.key.weight")
    with pytest.raises(ModelError, match=r"1 weights are absent.*layer\.2\.attention"):
        build_classifier(bare, TASK, 1)


def test_finetuned_folder_without_classifier_is_an_error(bare: Path) -> None:
    with pytest.raises(ModelError, match="found no classifier"):
        load_classifier(bare)


def test_truncated_weights_are_an_error(bare: Path) -> None:
    content = (bare / WEIGHTS).read_bytes()
    for kept in (len(content) // 2, 4):
        (bare / WEIGHTS).write_bytes(content[:kept])
        with pytest.raises(ModelError, match="expected a complete BERT"):
            build_classifier(bare, TASK, 1)


def test_pickled_weights_are_refused_with_the_way_out(bare: Path) -> None:
    (bare / WEIGHTS).rename(bare / "pytorch_model.bin")
    with pytest.raises(ModelError, match="save_pretrained"):
        build_classifier(bare, TASK, 1)
    (bare / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match="found no weights"):
        build_classifier(bare, TASK, 1)


def test_folders_that_hold_no_bert_are_refused(bare: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        read_config(tmp_path / "nowhere")
    (bare / "config.json").write_text('{"model_type": "roberta"}')
    with pytest.raises(ModelError, match="expected a BERT model, got 'roberta'"):
        read_config(bare)
    for garbage in ("{", "[1]"):
        (bare / "config.json").write_text(garbage)
        with pytest.raises(ModelError, match="readable JSON"):
            read_config(bare)


def test_loaded_models_are_plain_hugging_face_classifiers(bare: Path) -> None:
    assert type(build_classifier(bare, TASK, 1, [1])) is BertForSequenceClassification
