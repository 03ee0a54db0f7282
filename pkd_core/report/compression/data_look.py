"""A look at the data that a compression learnt from."""

from collections.abc import Mapping, Sequence

import numpy as np

from pkd_core.data.token_table import TokenTable
from pkd_core.report.compression.content import DataLook

_PERCENTILES = (50, 95, 100)


def look_at_data(
    train: TokenTable, rows: Mapping[str, int], labels: Sequence[str], max_length: int
) -> DataLook:
    """Return the rows, labels and lengths of a task.

    Args:
        train: Tokens of the training split.
        rows: Examples by split.
        labels: Label texts; empty for scores.
        max_length: The most tokens that were kept of a text.
    """
    lengths_R = train.lengths
    percentiles = np.percentile(lengths_R, _PERCENTILES, method="inverted_cdf")
    counts = {label: int(count) for label, count in zip(labels, _label_counts(train, labels), strict=True)}
    return DataLook(
        rows=dict(sorted(rows.items(), key=lambda item: item[0] != "train")),
        label_counts=dict(sorted(counts.items(), key=lambda item: -item[1])),
        length_percentiles=dict(zip(_PERCENTILES, map(int, percentiles), strict=True)),
        max_length=max_length,
        share_cut=float((lengths_R >= max_length).mean()),
    )


def _label_counts(train: TokenTable, labels: Sequence[str]) -> Sequence[int]:
    if not labels:
        return []
    assert train.labels_R is not None, "the training split is labelled"
    labels_R = train.labels_R.astype(int)
    counts_C = labels_R.sum(axis=0) if labels_R.ndim == 2 else np.bincount(labels_R, minlength=len(labels))
    return list(map(int, counts_C))
