"""The directions of a layer's gradients that are worth keeping, in the metric of Adam's steps.

Both sides of a gradient, g and x, are scaled (`airrep.gradients.moments`) before either is
projected. Of each side so scaled, the main directions over the tokens of many rows are kept (as
LoGra begins: Choe et al. 2024, arXiv 2405.13954), each token weighted by the length of its other
side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from airrep.encoder import AirRep
from airrep.errors import ArgumentError
from airrep.gradients.features import reduced_gradients
from airrep.gradients.moments import adam_metric_of_sides, second_moments
from airrep.gradients.random_projections import ProjectedLayer
from airrep.network.reading import LanguageModelReader
from airrep.records import Example

_ROWS = 1000  # whose tokens the main directions are found from; bounds the time


def fit_directions(
    encoder: AirRep, examples: Sequence[Example], seed: int = 0, *, progress: bool = False
) -> None:
    """Let a gradient-pooled encoder look at the main directions of these rows' gradients.

    Args:
        encoder: With token_pooling "gradient". It is changed: give one that was made for this.
        examples: Rows like those that the model will be fine-tuned on.
        seed: Seed of the batches and rows drawn.
        progress: Show progress bars on standard error.

    Raises:
        ArgumentError: Another encoder, or no examples.
        EmbeddingError: A gradient is NaN or infinite.
    """
    pooling, reader = encoder.model.gradient, encoder.reader
    if pooling is None or not isinstance(reader, LanguageModelReader):
        raise ArgumentError(
            f"directions of gradients: the encoder's token_pooling is "
            f"{encoder.model.config.token_pooling!r}, expected 'gradient'."
        )
    moments = second_moments(reader.model, examples, seed=seed, progress=progress)
    spreads = [_Spread(layer, moments[layer.name]) for layer in pooling.layers]
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(len(examples), min(_ROWS, len(examples)), replace=False))
    rows = [examples[i] for i in drawn.tolist()]
    reduced_gradients(reader.model, rows, spreads, progress=progress)
    for number, spread in enumerate(spreads):
        for kept, found in zip(
            (pooling.out_of[number], pooling.into[number]), spread.directions(), strict=True
        ):
            kept.data.copy_(found)


class _Spread:
    """A `Reduction` to nothing, which adds up the covariances of both scaled sides."""

    width = 0
    identity = None  # it has to see every gradient

    def __init__(self, layer: ProjectedLayer, moment: torch.Tensor) -> None:
        self.name, self.sizes = layer.name, layer.sizes
        self._ranks = layer.ranks
        self._scales = adam_metric_of_sides(moment)
        self._sums = [torch.zeros(size, size, device=moment.device) for size in layer.sizes]

    def keep(self, inputs: torch.Tensor) -> torch.Tensor:
        """See `Reduction`."""
        return inputs

    def reduce(self, kept: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """See `Reduction`."""
        sides = [
            values.flatten(0, 1).float() * scale
            for values, scale in zip((gradients, kept), self._scales, strict=True)
        ]
        lengths = [side.square().sum(dim=1, keepdim=True) for side in sides]
        for total, side, other in zip(self._sums, sides, reversed(lengths), strict=True):
            total += (side * other).mT @ side
        return torch.zeros(len(kept), 0, device=kept.device)

    def directions(self) -> list[torch.Tensor]:
        """P_out and P_in, (rank, size): scaling, then the main directions."""
        return [
            torch.linalg.eigh(total.double()).eigenvectors[:, -rank:].mT.float() * scale
            for total, rank, scale in zip(self._sums, self._ranks, self._scales, strict=True)
        ]
