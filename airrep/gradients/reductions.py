"""Reductions of the gradient of a layer's weight, Σ_t g_t x_tᵀ over an example's tokens.

Shapes: B examples, L tokens, O outputs and I inputs of the layer.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from airrep.disk.digests import content_digest
from airrep.errors import ArgumentError
from airrep.gradients.random_projections import ProjectedLayer

_FLOATS_AT_ONCE = 1 << 20  # of whole gradients: they stay in the CPU's cache


class Reduction(Protocol):
    """One layer's gradients, reduced while a backward pass computes them.

    Attributes:
        name: Name of the layer's module.
        sizes: (O, I).
        width: Features that are left of a gradient.
    """

    name: str
    sizes: tuple[int, int]
    width: int

    @property
    def identity(self) -> str | None:
        """Equal for reductions that make the same of every gradient.

        None for one that has to see all of them, so that no feature can stand for a gradient.
        """
        ...

    def keep(self, inputs: torch.Tensor) -> torch.Tensor:
        """What has to be remembered of the inputs x, (B, L, I), in what the layer computes in."""
        ...

    def reduce(self, kept: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Features (B, width) from what was kept and the gradients g, (B, L, O)."""
        ...


class TwoSided:
    """(Σ_t (P_out g_t)(P_in x_t)ᵀ): cheap, since no gradient of a whole weight ever exists.

    Where signs are given, its entries are multiplied by them and summed into `width` places.
    """

    def __init__(
        self,
        name: str,
        sizes: tuple[int, int],
        out_of: torch.Tensor | None,
        into: torch.Tensor | None,
        *,
        drawn: torch.Tensor | None = None,
        width: int | None = None,
    ) -> None:
        """Project by matrices (rank, O) and (rank, I); None leaves a side as it is.

        Args:
            name: Name of the layer's module.
            sizes: (O, I).
            out_of: P_out.
            into: P_in.
            drawn: Signs of all entries, see `signs`.
            width: Places for all entries; at least as many change nothing but the signs.
        """
        self.name, self.sizes = name, sizes
        self._out, self._in, self._drawn = out_of, into, drawn
        ranks = [
            size if p is None else len(p) for p, size in zip((out_of, into), sizes, strict=True)
        ]
        self.width = min(ranks[0] * ranks[1], width or ranks[0] * ranks[1])

    @classmethod
    def random(cls, layer: ProjectedLayer, seed: int, device: torch.device) -> TwoSided:
        """With the layer's random projections."""
        out_of, into = (
            None if p is None else torch.from_numpy(p).to(device, torch.float32)
            for p in layer.random_projections(seed)
        )
        return cls(layer.name, layer.sizes, out_of, into)

    @property
    def identity(self) -> str:
        """See `Reduction`."""
        folded = "" if self._drawn is None else f" {self.width} {_digest(self._drawn)}"
        return f"two-sided {self.name} {_digest(self._out)} {_digest(self._in)}{folded}"

    def keep(self, inputs: torch.Tensor) -> torch.Tensor:
        """See `Reduction`."""
        return _wide(_project(inputs, self._in))

    def reduce(self, kept: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """See `Reduction`; sums over tokens are in float32 or better."""
        found = (_wide(_project(gradients, self._out)).mT.to(kept.dtype) @ kept).flatten(1)
        return found if self._drawn is None else _folded(found, self._drawn, self.width)


class Sketch:
    """The whole gradient times a weight for each entry, summed into `width` places, signs drawn.

    Inner products of what is left are unbiased estimates of those of the weighted gradients, with
    an error of about |g||h| / √width: far smaller than that of two-sided projections of as many
    features, because a gradient is nearly of rank one, and both of its sides are rough there.
    """

    def __init__(self, name: str, weights: torch.Tensor, width: int, seed: int) -> None:
        """Draw the signs; they depend on seed, name and shape alone.

        Args:
            name: Name of the layer's module.
            weights: (O, I), what each entry is multiplied by.
            width: See above.
            seed: Seed of the signs.

        Raises:
            ArgumentError: `width` is below 1.
        """
        if width < 1:
            raise ArgumentError(f"width should be >= 1, found {width}.")
        self.name, self.sizes = name, (int(weights.shape[0]), int(weights.shape[1]))
        self.width = min(width, weights.numel())
        self._weights = weights.flatten() * torch.from_numpy(signs(name, weights.numel(), seed)).to(
            weights
        )

    @property
    def identity(self) -> str:
        """See `Reduction`."""
        return f"sketch {self.name} {self.sizes} {self.width} {_digest(self._weights)}"

    def keep(self, inputs: torch.Tensor) -> torch.Tensor:
        """See `Reduction`."""
        return inputs

    def reduce(self, kept: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """See `Reduction`."""
        rows = max(1, _FLOATS_AT_ONCE // (self.sizes[0] * self.sizes[1]))
        parts = zip(kept.split(rows), gradients.split(rows), strict=True)
        return torch.cat([self._sketched(x, g) for x, g in parts])

    def _sketched(self, x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        """(B, width), some of the outputs at a time."""
        inputs = self.sizes[1]
        made: torch.Tensor | float = 0.0
        done = 0
        for some in g.split(max(1, _FLOATS_AT_ONCE // (len(g) * inputs)), dim=2):
            part = _wide(some.mT.to(x.dtype) @ x).flatten(1)
            weights = self._weights[done : done + part.shape[1]]
            folded = _folded(part, weights, self.width)
            made = made + folded.roll(done % self.width, dims=1)
            done += part.shape[1]
        return torch.as_tensor(made)


def signs(name: str, count: int, seed: int) -> npt.NDArray[np.float32]:
    """(count,) of ±1; they depend on these three alone."""
    rng = np.random.default_rng(
        int.from_bytes(blake2b(f"{seed}/{name}/signs".encode(), digest_size=16).digest())
    )
    return (rng.integers(0, 2, count, dtype=np.int8) * 2 - 1).astype(np.float32)


def _digest(matrix: torch.Tensor | None) -> str:
    if matrix is None:
        return "whole"
    parts = matrix.detach().cpu().contiguous()
    return (
        f"{tuple(parts.shape)} {content_digest(parts.reshape(-1).view(torch.uint8).numpy().data)}"
    )


def _folded(features: torch.Tensor, weights: torch.Tensor, width: int) -> torch.Tensor:
    """(B, F) times weights (F,), summed into `width` places; overwrites the features."""
    features *= weights.to(features.dtype)
    if missing := -features.shape[1] % width:
        features = torch.nn.functional.pad(features, (0, missing))
    return features.view(len(features), -1, width).sum(dim=1)


def _wide(values: torch.Tensor) -> torch.Tensor:
    """In float32 or better."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _project(values: torch.Tensor, matrix: torch.Tensor | None) -> torch.Tensor:
    return values if matrix is None else values @ matrix.T.to(values)
