"""Exact gradients of a loss over many texts, in the memory of a few.

The pairwise loss looks at all embeddings of a step at once, and a graph through the encoder for all
of them would not fit. So (GradCache: Gao et al. 2021, arXiv 2101.06983):

    1. encode every chunk without a graph;
    2. take the loss L and its gradient dL/de with respect to the embeddings e;
    3. encode each chunk again, with a graph, and push its rows of dL/de back through it.

By the chain rule the sum over chunks is the gradient of L, and however many subsets share a row, it
is encoded twice.

Shapes: n rows, D embedding size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from accelerate.utils import reduce

from airrep.console.wording import counted
from airrep.errors import ArgumentError, EmbeddingError, LossError
from airrep.machine.processes import process_group, processes, rank

Positions = npt.NDArray[np.int64]
Encode = Callable[[Positions], torch.Tensor]


def cached_backward(
    encode: Encode,
    chunks: Sequence[Positions],
    rows: int,
    loss_of: Callable[[torch.Tensor], torch.Tensor],
    parameters: Iterable[torch.nn.Parameter],
) -> float:
    """Add the gradient of `loss_of(encode(all rows))` to the parameters' `.grad`.

    Under `accelerate launch` or torchrun every process encodes a share of the chunks, and all end
    up with the gradients that one process would have. Give every process the same chunks, loss and
    weights, and a bare model: DistributedDataParallel would average what is summed here.

    Args:
        encode: Positions to embeddings (len, D), with a graph where gradients are enabled. Each
            chunk is encoded twice and must come out the same: no dropout, no batch statistics.
            Autocast belongs inside it, not around this call.
        chunks: Positions encoded at once; together each of range(n) once. The largest decides
            how much memory is needed.
        rows: n.
        loss_of: (n, D) embeddings to a scalar, the same on every process; whatever else it
            depends on gets no gradient.
        parameters: All that `encode` trains, in the same order on every process.

    Returns:
        The loss.

    Raises:
        ArgumentError: The chunks are no partition of the rows.
        EmbeddingError: `encode` returned a wrong shape.
        LossError: The loss or its gradient with respect to the embeddings is NaN or infinite; no
            `.grad` has been touched.
    """
    chunks = [chunk for chunk in chunks if len(chunk)]
    if not chunks or not np.array_equal(np.sort(np.concatenate(chunks)), np.arange(rows)):
        raise ArgumentError(f"chunks: expected each of {counted(rows, 'row')} in one chunk.")
    shared = processes() > 1
    if shared:
        process_group()  # joined before any work, so that a wrong set-up fails early
    share = chunks[rank() :: processes()]
    embeddings = _embed(encode, share or chunks[:1], rows)  # without a share, for D and dtype
    if shared:
        # Every row is zero on all processes but one, so the sum is exact.
        embeddings = reduce(embeddings if share else embeddings.zero_(), reduction="sum")
    loss, gradient = _loss_and_gradient(loss_of, embeddings.requires_grad_())
    parameters = list(parameters)
    if rank() > 0:
        for parameter in parameters:
            parameter.grad = None  # what was there before counts once, on process 0
    for chunk in share:
        pushed = gradient[torch.tensor(chunk)]
        if pushed.any():  # else the loss does not depend on these rows
            encode(chunk).backward(pushed)
    if shared:
        _sum_over_processes(parameters, embeddings.device)
    return loss


def _embed(encode: Encode, chunks: Sequence[Positions], rows: int) -> torch.Tensor:
    """(n, D) without a graph; rows that are in none of these chunks are 0."""
    embeddings = None
    with torch.no_grad():
        for chunk in chunks:
            encoded = encode(chunk)
            if embeddings is None:
                embeddings = encoded.new_zeros((rows, *encoded.shape[1:]))
            if encoded.ndim != 2 or encoded.shape != (len(chunk), embeddings.shape[1]):
                raise EmbeddingError(
                    f"encode: expected ({len(chunk)}, {embeddings.shape[-1]}), found "
                    f"{tuple(encoded.shape)}."
                )
            embeddings[torch.tensor(chunk)] = encoded
    assert embeddings is not None
    return embeddings


def _loss_and_gradient(
    loss_of: Callable[[torch.Tensor], torch.Tensor], embeddings: torch.Tensor
) -> tuple[float, torch.Tensor]:
    loss = loss_of(embeddings)
    value = float(loss.detach())
    if not np.isfinite(value):
        raise LossError(f"the loss is {value}; lower the learning rate or the embeddings' scale.")
    (gradient,) = torch.autograd.grad(loss, embeddings)
    if not gradient.isfinite().all():
        raise LossError(
            f"the loss is {value:.6g}, but its gradient with respect to the embeddings is NaN or "
            "infinite; lower the learning rate or the embeddings' scale."
        )
    return value, gradient


def _sum_over_processes(parameters: Sequence[torch.nn.Parameter], device: torch.device) -> None:
    """Gradients summed; one that no process has stays None, as with one process."""
    has = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int64, device=device)
    for parameter, count in zip(parameters, reduce(has, reduction="sum").tolist(), strict=True):
        if count:
            known = parameter.grad
            mine = torch.zeros_like(parameter) if known is None else known
            parameter.grad = reduce(mine, reduction="sum")
