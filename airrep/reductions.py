"""How the gradient of a layer's weight, Σ_t g_t x_tᵀ over an example's tokens, is made small.

Shapes: B examples, L tokens, O outputs and I inputs of the layer.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Protocol

import numpy as np
import torch

from airrep.errors import ArgumentError
from airrep.projections import ProjectedLayer

_FLOATS_AT_ONCE = 1 << 24  # of whole gradients; bounds memory


class Reduction(Protocol):
    """One layer's gradients, reduced while a backward pass computes them.

    Attributes:
        name: Of the layer's module.
        sizes: (O, I).
        width: Features that are left of a gradient.
    """

    name: str
    sizes: tuple[int, int]
    width: int

    def keep(self, inputs: torch.Tensor) -> torch.Tensor:
        """What has to be remembered of the inputs x, (B, L, I) float32 or better."""
        ...

    def reduce(self, kept: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Features (B, width) from what was kept and the gradients g, (B, L, O)."""
        ...


class TwoSided:
    """(Σ_t (P_out g_t)(P_in x_t)ᵀ): cheap, since no gradient of a whole weight ever exists."""

    def __init__(self, layer: ProjectedLayer, seed: int, device: torch.device) -> None:
        self.name, self.sizes, self.width = layer.name, layer.sizes, layer.width
        self._out, self._in = (
            None if p is None else torch.from_numpy(p).to(device, torch.float32)
            for p in layer.projections(seed)
        )

    def keep(self, inputs: torch.Tensor) -> torch.Tensor:
        """See `Reduction`."""
        return _project(inputs, self._in)

    def reduce(self, kept: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """See `Reduction`."""
        return (_project(gradients, self._out).mT.to(kept.dtype) @ kept).flatten(1)


class Sketch:
    """The whole gradient times a weight for each entry, summed into `width` places, signs drawn.

    Inner products of what is left are unbiased estimates of those of the weighted gradients, with
    an error of about |g||h| / √width: far smaller than that of two-sided projections of as many
    features, because a gradient is nearly of rank one, and both of its sides are rough there.
    """

    def __init__(self, name: str, weights: torch.Tensor, width: int, seed: int) -> None:
        """Draw the signs; they depend on seed, name and shape alone.

        Args:
            name: Of the layer's module.
            weights: (O, I), what each entry is multiplied by.
            width: See above.
            seed: Of the signs.

        Raises:
            ArgumentError: `width` is below 1.
        """
        if width < 1:
            raise ArgumentError(f"width should be >= 1, found {width}.")
        self.name, self.sizes = name, (int(weights.shape[0]), int(weights.shape[1]))
        self.width = min(width, weights.numel())
        rng = np.random.default_rng(
            int.from_bytes(blake2b(f"{seed}/{name}/signs".encode(), digest_size=16).digest())
        )
        signs = rng.integers(0, 2, weights.numel(), dtype=np.int8) * 2 - 1
        filled = -(-weights.numel() // self.width) * self.width
        self._weights = torch.zeros(filled, dtype=torch.float32, device=weights.device)
        self._weights[: len(signs)] = weights.flatten() * torch.from_numpy(signs).to(weights)

    def keep(self, inputs: torch.Tensor) -> torch.Tensor:
        """See `Reduction`."""
        return inputs

    def reduce(self, kept: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """See `Reduction`."""
        size, filled = self.sizes[0] * self.sizes[1], len(self._weights)
        at_once = max(1, _FLOATS_AT_ONCE // size)
        parts = []
        for x, g in zip(kept.split(at_once), gradients.split(at_once), strict=True):
            whole = (g.mT.to(x.dtype) @ x).flatten(1)  # (b, O·I)
            if filled > size:
                whole = torch.nn.functional.pad(whole, (0, filled - size))
            whole *= self._weights.to(whole.dtype)
            parts.append(whole.view(len(whole), -1, self.width).sum(dim=1))
        return torch.cat(parts)


def _project(values: torch.Tensor, matrix: torch.Tensor | None) -> torch.Tensor:
    return values if matrix is None else values @ matrix.T.to(values)
