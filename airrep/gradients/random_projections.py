"""The layers whose gradients are kept, and the random projections that make them small.

Covered are the weights of `nn.Linear` and `Conv1D` inside the transformer blocks; biases, norms,
embeddings, the LM head and fused expert weights are not.

The rows of a projection are orthogonal and of length √(size / rank), so that inner products of
what is projected are unbiased estimates of the true ones. A side that is not larger than the rank
is not projected.

How many features a gradient keeps, unless somebody says it: as many as suit a scorer on small
models, but of all layers together at most `FEATURES` (projections on two sides) or
`SKETCH_FEATURES` (sketches, of which none is kept). A model with more layers has fewer of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from airrep.errors import ArgumentError
from airrep.language_model.blocks import last_blocks

FEATURES = 1 << 17
SKETCH_FEATURES = 1 << 19

Modules = str | Sequence[str] | None


@dataclass(frozen=True, slots=True)
class ProjectedLayer:
    """A weight whose gradients are kept.

    Attributes:
        name: Name of its module in the network.
        sizes: (outputs, inputs) of the layer.
        ranks: (outputs, inputs) after projection.
    """

    name: str
    sizes: tuple[int, int]
    ranks: tuple[int, int]

    @property
    def width(self) -> int:
        """How many of the features are this layer's."""
        return self.ranks[0] * self.ranks[1]

    def random_projections(self, seed: int) -> tuple[npt.NDArray[np.float64] | None, ...]:
        """P_out and P_in; they depend on seed, name and sizes alone. None is the identity."""
        return tuple(
            None if rank == size else _projection(f"{seed}/{self.name}/{side}", rank, size)
            for side, rank, size in zip(("out", "in"), self.ranks, self.sizes, strict=True)
        )


def projected_layers(
    network: PreTrainedModel, *, rank: int = 16, layers: int | None = None, modules: Modules = None
) -> list[ProjectedLayer]:
    """The layers that `gradient_features` covers, in the order of their features.

    Args:
        network: A causal language model.
        rank: Rank of each side's projection.
        layers: Only the last so many transformer blocks; None takes all.
        modules: Only layers whose names match one of these globs, "*.mlp.*" or "*q_proj" for
            example; None takes all.

    Raises:
        ArgumentError: The network has no such layer, or an argument is out of range.
    """
    if rank < 1:
        raise ArgumentError(f"rank should be >= 1, found {rank}.")
    found = []
    for prefix, block in last_blocks(network, layers):
        for name, module in block.named_modules(prefix=prefix):
            if isinstance(module, nn.Linear):
                sizes = (module.out_features, module.in_features)
            elif isinstance(module, Conv1D):
                sizes = (module.nf, module.nx)
            else:
                continue
            found.append(ProjectedLayer(name, sizes, (min(rank, sizes[0]), min(rank, sizes[1]))))
    if not found:
        raise ArgumentError(
            f"{type(network).__name__}: no nn.Linear or Conv1D in its transformer blocks, whose "
            "gradients could be taken. Use a scorer that needs no gradients."
        )
    patterns = [modules] if isinstance(modules, str) else modules
    if patterns is None:
        return found
    kept = [each for each in found if any(fnmatchcase(each.name, p) for p in patterns)]
    if not kept:
        raise ArgumentError(
            f"modules {', '.join(map(repr, patterns)) or '[]'}: no layer of this name among "
            f"{len(found)}, from {found[0].name!r} to {found[-1].name!r}. Give globs of whole "
            "names, such as '*.mlp.*'."
        )
    return kept


def rank_within(layers: Sequence[ProjectedLayer], most: int, features: int) -> int:
    """The largest rank up to `most` that leaves so many features of all layers; at least 1."""
    for rank in range(most, 1, -1):
        if sum(min(rank, out) * min(rank, into) for out, into in (e.sizes for e in layers)) <= (
            features
        ):
            return rank
    return 1


def width_within(layers: Sequence[ProjectedLayer], most: int, features: int) -> int:
    """The largest width of a layer's sketch, likewise."""
    return max(1, min(most, features // len(layers)))


def _projection(key: str, rank: int, size: int) -> npt.NDArray[np.float64]:
    """(rank, size) with orthogonal rows of length √(size / rank), drawn uniformly."""
    seed = int.from_bytes(blake2b(key.encode(), digest_size=16).digest())
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, rank)))
    q *= np.sign(np.diag(r))  # whatever LAPACK's convention
    return np.ascontiguousarray(q.T) * np.sqrt(size / rank)
