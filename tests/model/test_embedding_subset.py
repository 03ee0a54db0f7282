"""Training the word embeddings in use gives the same weights as training all of them."""

import numpy as np
import pytest
import torch
from tiny_bert import make_table, padded, tiny_classifier

from pkd_core.model.embedding_subset import EmbeddingSubset


def test_translated_tables_read_the_same_embeddings() -> None:
    model, table, dev = tiny_classifier(), make_table(5), make_table(3, seed=1)
    assert np.setdiff1d(dev.input_ids, table.input_ids).size
    expected = [model.bert.embeddings.word_embeddings.weight[part.input_ids] for part in (table, dev)]
    vocabulary = EmbeddingSubset(model, [table, dev])
    subset = model.bert.embeddings.word_embeddings
    used = np.union1d([0], np.concatenate([table.input_ids, dev.input_ids]))
    assert subset.num_embeddings == len(used) < 100
    for part, rows in zip((table, dev), expected, strict=True):
        assert torch.equal(subset(torch.from_numpy(vocabulary.translate(part).input_ids)), rows)


# The filler of packed batches, a word that the table does not have, and one that it has.
@pytest.mark.parametrize("padding_id", [0, 3, 20])
def test_training_the_words_in_use_with_adamw_equals_training_all_words(padding_id: int) -> None:
    table, weights = make_table(6), []
    assert 3 not in table.input_ids and 20 in table.input_ids
    for is_subset in (False, True):
        model = tiny_classifier(dropout=0.0)
        model.bert.embeddings.word_embeddings.padding_idx = padding_id
        vocabulary = EmbeddingSubset(model, [table]) if is_subset else None
        part = vocabulary.translate(table) if vocabulary else table
        optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.5)
        for learning_rate in (0.002, 0.01, 0.005):
            optimizer.param_groups[0]["lr"] = learning_rate
            model(**padded(part, range(6)), labels=torch.from_numpy(table.labels_R)).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if vocabulary:
                vocabulary.decay(1 - learning_rate * 0.5)
                # Reading the full table between steps must not decay it twice.
                with vocabulary.full_embeddings():
                    assert model.bert.embeddings.word_embeddings.num_embeddings == 100
        if vocabulary:
            vocabulary.restore()
        weights.append(model.state_dict())
    unused = np.setdiff1d(np.arange(1, 100), table.input_ids)
    assert unused.size > 5
    expected, trained = (each["bert.embeddings.word_embeddings.weight"][unused] for each in weights)
    torch.testing.assert_close(trained, expected, atol=1e-7, rtol=1e-6)
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, atol=2e-5, rtol=1e-4, msg=name)


def test_the_padding_word_gets_no_gradient_in_the_subset() -> None:
    model, table = tiny_classifier(), make_table(5)
    EmbeddingSubset(model, [table])
    embeddings = model.bert.embeddings.word_embeddings
    embeddings(torch.tensor([0, 1])).sum().backward()
    assert embeddings.weight.grad[0].eq(0).all()
    assert embeddings.weight.grad[1].eq(1).all()


def test_full_embeddings_are_current_and_replaced_by_the_subset_afterwards() -> None:
    model, table = tiny_classifier(), make_table(5)
    original = model.bert.embeddings.word_embeddings
    vocabulary = EmbeddingSubset(model, [table])
    subset = model.bert.embeddings.word_embeddings
    with torch.no_grad():
        subset.weight.fill_(7.0)
    with pytest.raises(RuntimeError, match="saving failed"), vocabulary.full_embeddings():
        assert model.bert.embeddings.word_embeddings is original
        assert (original.weight[torch.from_numpy(np.unique(table.input_ids))] == 7.0).all()
        raise RuntimeError("saving failed")
    assert model.bert.embeddings.word_embeddings is subset
    vocabulary.restore()
    assert model.bert.embeddings.word_embeddings is original
