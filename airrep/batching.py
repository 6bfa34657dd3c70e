"""Which texts are encoded together.

A text is padded to the next multiple of `BUCKET` tokens above its own length, and batches hold
texts of one padded length only. So the arithmetic of a text does not depend on its neighbours:
its embedding is the same, bit for bit on the CPUs we tested, whatever the batch size, the order,
or the other texts, and little is lost to padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

BUCKET = 16


def plan_batches(
    lengths: Sequence[int], tokens_per_batch: int, longest: int
) -> list[tuple[int, npt.NDArray[np.int64]]]:
    """Group texts by padded length, at most `tokens_per_batch` padded tokens a batch.

    Args:
        lengths: Number of tokens of each text.
        tokens_per_batch: Budget; a batch holds at least one text all the same.
        longest: The most tokens a text can have; padding never exceeds it.

    Returns:
        (padded length, indices of the texts), longest first so that memory peaks early.
    """
    tokens = np.maximum(np.asarray(lengths, dtype=np.int64), 1)  # no tokens at all: all padding
    padded = np.minimum(-(-tokens // BUCKET) * BUCKET, longest)
    batches = []
    for length in np.unique(padded)[::-1]:
        members = np.flatnonzero(padded == length)
        size = max(1, tokens_per_batch // int(length))
        batches += [(int(length), members[i : i + size]) for i in range(0, len(members), size)]
    return batches


def pad(
    token_ids: Sequence[Sequence[int]], length: int, pad_id: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token id lists to (input_ids, attention_mask), both (B, length) int64."""
    ids = np.full((len(token_ids), length), pad_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(token_ids):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)
