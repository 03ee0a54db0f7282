"""The words that a masked-language model finds most likely.

Shape suffixes: T packed rows, D hidden size, W masked words, A words to choose from, K likely words for each.
"""

import numpy as np
import numpy.typing as npt
import torch
from transformers import BertForMaskedLM

from pkd_core.data.likely_words import NUM_LIKELY, MaskedTexts
from pkd_core.model.forward import encode
from pkd_core.model.packing import pack

Integers = npt.NDArray[np.int64]


@torch.inference_mode()
def predict_words(
    masked: MaskedTexts, model: BertForMaskedLM, words_A: Integers, device: torch.device
) -> Integers:
    """Return the words that are most likely in place of each masked one, best first (W, K), computed in float32.

    Args:
        masked: At least one example.
        model: On the device.
        words_A: Ids to choose from, rising, the masked words among them; the masked word itself is not chosen.
        device: Where to compute.

    Returns:
        Ids; K is 15, or one less than A if that is fewer, but at least 1.
    """
    batch = pack(masked.table, np.arange(len(masked.table)), device)
    starts = torch.empty_like(batch.cls_positions_B)
    starts[batch.example_ids_B.to(device)] = batch.cls_positions_B
    examples_W, positions_W, own_W = (
        torch.from_numpy(values).to(device)
        for values in (masked.examples_W, masked.positions_W, np.searchsorted(words_A, masked.words_W))
    )
    hidden_WD = encode(model.bert, batch)[starts[examples_W] + positions_W]
    scores_WA = model.cls(hidden_WD)[:, torch.from_numpy(words_A).to(device)]
    scores_WA[torch.arange(len(own_W), device=device), own_W] = -torch.inf
    num_likely = min(NUM_LIKELY, max(1, len(words_A) - 1))
    likely_WK = scores_WA.topk(num_likely).indices.cpu().numpy()
    chosen_WK: Integers = words_A[likely_WK]
    return chosen_WK
