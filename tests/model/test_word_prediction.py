"""The likely words are those that transformers' own masked-language model scores highest, one text at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_bert import make_table, tiny_config
from transformers import BertForMaskedLM, BertForPreTraining, BertModel

from pkd_core.data.augmentation import Pieces
from pkd_core.data.likely_words import MaskedTexts, mask_words
from pkd_core.errors import ModelError
from pkd_core.model.file_checks import has_language_head
from pkd_core.model.loading import load_masked_language_model
from pkd_core.model.word_prediction import predict_words

CPU = torch.device("cpu")
MASK = 4
IDS = np.arange(100)
# Ids from 90 on continue a word; every fifth one is no word of letters.
PIECES = Pieces(2, 3, MASK, IDS >= 90, (IDS >= 20) & (IDS < 90) & (IDS % 5 > 0))
WORDS = np.flatnonzero(PIECES.is_word)
WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = BertForPreTraining(tiny_config())
    # Random from the start: transformers makes it zero.
    torch.nn.init.normal_(model.cls.predictions.bias)
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def texts() -> MaskedTexts:
    return mask_words(make_table(40), np.arange(40), PIECES)


def expected_words(folder: Path, masked: MaskedTexts, num_likely: int) -> list[list[int]]:
    """Score one text after the other with transformers' model of the folder, without padding."""
    model = BertForMaskedLM.from_pretrained(folder).eval()
    found = []
    for example, position, word in zip(masked.examples_W, masked.positions_W, masked.words_W, strict=True):
        start, stop = masked.table.offsets[example : example + 2]
        ids = torch.from_numpy(masked.table.input_ids[start:stop]).long()[None]
        types = (torch.arange(stop - start) >= int(masked.table.second_starts_R[example])).long()[None]
        with torch.no_grad():
            scores = model(input_ids=ids, token_type_ids=types).logits[0, position]
        ranked = sorted(WORDS.tolist(), key=lambda one: -float(scores[one]))
        ranked.remove(int(word))
        found.append(ranked[:num_likely])
    return found


def test_the_likely_words_are_those_of_transformers_model(folder: Path) -> None:
    masked = texts()
    assert len(masked.words_W) > len(masked.table) > 60
    found = predict_words(masked, load_masked_language_model(folder), WORDS, CPU)
    assert found.shape == (len(masked.words_W), 15)
    assert found.tolist() == expected_words(folder, masked, 15)


def test_a_word_is_no_replacement_of_itself(folder: Path) -> None:
    masked = texts()
    found = predict_words(masked, load_masked_language_model(folder), WORDS, CPU)
    assert not (found == masked.words_W[:, None]).any()


def test_fewer_words_than_fifteen_are_all_likely(folder: Path) -> None:
    few = np.array([21, 22, 23])
    pieces = Pieces(2, 3, MASK, IDS >= 90, np.isin(IDS, few))
    masked = mask_words(make_table(40), np.arange(40), pieces)
    found = predict_words(masked, load_masked_language_model(folder), few, CPU)
    assert [sorted(row) for row in found.tolist()] == [
        [one for one in few.tolist() if one != word] for word in masked.words_W.tolist()
    ]
    assert len(found) > 3


@pytest.mark.parametrize(
    "name", ["cls.predictions.bias", "cls.predictions.transform.dense.bias", "layer.3.output"]
)
def test_a_weight_that_is_absent_is_refused(name: str, folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    kept = {key: value for key, value in weights.items() if name not in key}
    assert len(kept) < len(weights)
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=r"expected a BERT with its masked-language head, found no .*; fetch"
    ):
        load_masked_language_model(folder)


def test_whether_a_model_has_the_head_is_seen_in_its_files(folder: Path, tmp_path: Path) -> None:
    assert has_language_head(folder)
    BertModel(tiny_config()).save_pretrained(tmp_path / "without")
    assert not has_language_head(tmp_path / "without")
