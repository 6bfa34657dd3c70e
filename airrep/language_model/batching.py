"""The passes of texts through a network, and their fixed shapes.

A product of matrices may round by its shape: on a CPU with AMX, a text in bfloat16 alone and the
same text among others differ. So nothing that a text shares a pass with may decide a shape. A text
of n tokens is padded to a length that n decides (`_padded`), and on a CPU all passes of a padded
length have the same number of rows, whatever the budget: where texts are lacking, one is repeated.
What comes after the network and has a row a text, or a row a token, is computed in blocks of
`BLOCK_ROWS` rows (`in_blocks`). Encoders of BERT's kind need no such passes on a CPU
(`airrep.network.tight`): their products have so many rows as their precision decides.

On a GPU a pass is filled up to the budget, because large passes are what makes it fast: there,
bits hold for one budget.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

BUCKET = 16  # padded lengths are multiples of it,
WIDE_BUCKET = 32  # and of this one above
WIDE_ABOVE = 96  # so many tokens: the fewer lengths, the fewer copies in their last passes
BLOCK_ROWS = 256
# Tokens of a pass on a CPU, up to a padded length: as many as make long texts fast, and of short
# ones few enough that one query does not wait long for a pass full of copies
# (examples/benchmarks/pass_size.py). A language model, in which a token costs more, has its own.
PASS_TOKENS = {64: 448, 1 << 30: 2048}
LANGUAGE_MODEL_PASS_TOKENS = 1024
# A large model keeps the CPU busy with fewer rows of a product, and copies cost it more.
LARGE_MODEL_PASS_TOKENS = 512
LARGE_MODEL_PARAMETERS = 1 << 25  # embeddings not counted
# Tokens of a pass without padding: more only cost memory.
TIGHT_TOKENS = 8192
# Part of what an embedding is: the fingerprint of an encoder holds it, so that a store which was
# begun in other shapes is not continued in these.
GEOMETRY = (
    f"bucket {BUCKET}, {WIDE_BUCKET} above {WIDE_ABOVE}, "
    f"pass {PASS_TOKENS} or {LANGUAGE_MODEL_PASS_TOKENS}, block {BLOCK_ROWS}"
)


@dataclass(frozen=True, eq=False, slots=True)
class Pass:
    """Texts that pass through a network together.

    Attributes:
        length: Tokens of every text, padding included.
        rows: Texts of every pass of this length.
        members: (at most `rows`,) indices of the texts.
    """

    length: int
    rows: int
    members: npt.NDArray[np.int64]

    def filled(self) -> npt.NDArray[np.int64]:
        """(rows,): the members, and the first again where there are too few."""
        return np.pad(
            self.members, (0, self.rows - len(self.members)), constant_values=self.members[0]
        )


def plan_passes(
    lengths: Sequence[int],
    longest: int,
    device: torch.device,
    tokens_per_batch: int,
    *,
    pass_tokens: int | None = None,
) -> list[Pass]:
    """Every text's pass, longest first so that memory peaks early.

    Args:
        lengths: Number of tokens of each text.
        longest: The most tokens a text can have; padding never exceeds it.
        device: Where the passes happen.
        tokens_per_batch: Padded tokens of a pass on a GPU, at most; but for one text.
        pass_tokens: Padded tokens of a pass on a CPU, at least; default what suits an encoder.
    """
    return [
        Pass(length, rows, members[i : i + rows])
        for length, members in _padded_alike(lengths, longest)
        for rows in [_rows(length, device, tokens_per_batch, pass_tokens)]
        for i in range(0, len(members), rows)
    ]


def plan_tight(lengths: Sequence[int]) -> list[npt.NDArray[np.int64]]:
    """The texts of passes of up to `TIGHT_TOKENS` tokens that have no padding.

    The longest come first, and the shortest fill what they leave.
    """
    left = deque(np.argsort(lengths, kind="stable")[::-1].tolist())
    passes = []
    while left:
        members, room = [left.popleft()], TIGHT_TOKENS
        room -= lengths[members[0]]
        for take, at in ((left.popleft, 0), (left.pop, -1)):
            while left and lengths[left[at]] <= room:
                room -= lengths[left[at]]
                members.append(take())
        passes.append(np.array(members))
    return passes


def plan_batches(
    lengths: Sequence[int], tokens_per_batch: int, longest: int
) -> list[tuple[int, npt.NDArray[np.int64]]]:
    """Batches of texts of one padded length where no bits are promised, as in training.

    Args:
        lengths: Number of tokens of each text.
        tokens_per_batch: Budget; a batch holds at least one text all the same.
        longest: The most tokens a text can have; padding never exceeds it.

    Returns:
        (padded length, indices of the texts), longest first so that memory peaks early.
    """
    batches = []
    for length, members in _padded_alike(lengths, longest):
        size = max(1, tokens_per_batch // length)
        batches += [(length, members[i : i + size]) for i in range(0, len(members), size)]
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


def in_blocks(
    function: Callable[..., torch.Tensor], *rows: torch.Tensor, block: int = BLOCK_ROWS
) -> torch.Tensor:
    """`function` of rows, called with `block` of them at a time, so that none knows the others.

    Args:
        function: Takes tensors with `block` rows and returns one with as many.
        rows: Tensors of equally many rows, at least one; the last block is filled with copies of
            the last row, whose results are dropped.
        block: Rows of a call.
    """
    count = len(rows[0])
    made = []
    for start in range(0, count, block):
        places = torch.arange(start, start + block, device=rows[0].device).clamp(max=count - 1)
        made.append(function(*(tensor[places] for tensor in rows)))
    return torch.cat(made)[:count]


def _rows(length: int, device: torch.device, tokens_per_batch: int, pass_tokens: int | None) -> int:
    """Texts of a pass of this padded length."""
    if device.type == "cpu":
        own = next(tokens for most, tokens in PASS_TOKENS.items() if length <= most)
        return -(-(pass_tokens or own) // length)
    return max(1, tokens_per_batch // length)


def _padded_alike(lengths: Sequence[int], longest: int) -> list[tuple[int, npt.NDArray[np.int64]]]:
    """(padded length, indices of its texts), the longest first.

    Every text has padding, because attention without any may take another way through the machine
    (transformers drops a mask of ones); those that fill `longest` have none, and are kept apart.
    """
    tokens = np.asarray(lengths, dtype=np.int64)
    padded = np.minimum(_padded(tokens), longest)
    keys = padded + (tokens >= longest)
    return [(int(min(key, longest)), np.flatnonzero(keys == key)) for key in np.unique(keys)[::-1]]


def _padded(tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The smallest multiple of the bucket above each number of tokens."""
    bucket = np.where(tokens < WIDE_ABOVE, BUCKET, WIDE_BUCKET)
    return (tokens // bucket + 1) * bucket
