"""A training over the words in use ends with the weights of one over them all."""

import numpy as np
import torch
from tiny_bert import make_table, padded, tiny_classifier

from pkd_core.model.embedding_subset import EmbeddingSubset


def test_translated_tables_read_the_same_embeddings() -> None:
    model, table, dev = tiny_classifier(), make_table(5), make_table(3, seed=1)
    expected = [model.bert.embeddings.word_embeddings.weight[part.input_ids] for part in (table, dev)]
    vocabulary = EmbeddingSubset(model, [table, dev])
    small = model.bert.embeddings.word_embeddings
    assert small.num_embeddings < 100
    for part, rows in zip((table, dev), expected, strict=True):
        assert torch.equal(small(torch.from_numpy(vocabulary.translate(part).input_ids)), rows)


def test_training_the_words_in_use_equals_training_them_all() -> None:
    table, weights = make_table(6), []
    for small in (False, True):
        model = tiny_classifier(dropout=0.0)
        vocabulary = EmbeddingSubset(model, [table]) if small else None
        part = vocabulary.translate(table) if vocabulary else table
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
        for step in range(7):
            model(**padded(part, range(6)), labels=torch.from_numpy(table.labels_R)).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if vocabulary:
                vocabulary.decay(1 - 0.01 * 0.1)
                if step == 3:
                    with vocabulary.full_embeddings():
                        assert model.bert.embeddings.word_embeddings.num_embeddings == 100
        if vocabulary:
            vocabulary.restore()
        weights.append(model.state_dict())
    assert np.setdiff1d(np.arange(100), table.input_ids).size > 5
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, atol=2e-5, rtol=1e-4, msg=name)


def test_the_whole_table_is_a_loan() -> None:
    model, table = tiny_classifier(), make_table(5)
    vocabulary = EmbeddingSubset(model, [table])
    small = model.bert.embeddings.word_embeddings
    with torch.no_grad():
        small.weight.fill_(7.0)
    with vocabulary.full_embeddings():
        whole = model.bert.embeddings.word_embeddings
        assert (whole.weight[torch.from_numpy(np.unique(table.input_ids))] == 7.0).all()
    assert model.bert.embeddings.word_embeddings is small
    vocabulary.restore()
    assert model.bert.embeddings.word_embeddings is whole
