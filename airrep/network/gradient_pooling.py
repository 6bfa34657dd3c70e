"""Token pooling "gradient": a language model's features of a text, by one backward pass.

Shapes: B texts, L tokens (padded), O outputs and I inputs of a layer, F features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import PreTrainedModel

from airrep.gradients.random_projections import projected_layers
from airrep.gradients.recorder import left_as_found, recorder
from airrep.gradients.reductions import TwoSided, signs
from airrep.language_model.blocks import last_blocks
from airrep.language_model.token_losses import from_start, mean_token_losses

_RANK = 64  # of each side of a layer's gradient
_WIDTH = 1024  # features of a layer


class GradientPooling(nn.Module):
    """Where a text would move the model's weights, layer by layer.

    With inputs x_t of a layer y = W x and the gradients g_t of a text's summed completion loss at
    its outputs, the features are those of Σ_t (P_out g_t)(P_in x_t)ᵀ, its entries with fixed signs
    summed into fewer places; and all layers' are divided by the root of their common length, half
    way between the gradient, in which a few long ones drown the others, and its direction alone
    (docs/results.md, "Gradients in Adam's metric").

    P_out and P_in are random until `fit_directions` has seen rows (`airrep.training.directions`);
    they are kept in the checkpoint. The model itself gets no gradients from here: it cannot be
    trained below these features.
    """

    def __init__(self, network: PreTrainedModel) -> None:
        """Random directions for the network's layers (`airrep.gradients.random_projections`)."""
        super().__init__()
        self.layers = projected_layers(network, rank=_RANK)
        self.out_of, self.into, self.signs = (nn.ParameterList() for _ in range(3))
        for layer in self.layers:
            out_of, into = (
                np.eye(size) if matrix is None else matrix
                for matrix, size in zip(layer.random_projections(0), layer.sizes, strict=True)
            )
            self.out_of.append(_constant(out_of))
            self.into.append(_constant(into))
            self.signs.append(_constant(signs(layer.name, layer.width, 0)))

    @property
    def width(self) -> int:
        """F."""
        return sum(min(_WIDTH, layer.width) for layer in self.layers)

    def forward(
        self,
        model: Any,  # noqa: ANN401 (a causal language model)
        input_ids: torch.Tensor,
        mask: torch.Tensor,
        start: torch.Tensor,
    ) -> torch.Tensor:
        """Features (B, F), float32, of texts whose completions start at `start` (B,), 1 or more."""
        with torch.inference_mode(False):
            # of a tensor from inference mode nothing may be remembered for a backward pass
            ids, mask, start = (tensor.clone() for tensor in (input_ids, mask, start))
            reductions = [
                TwoSided(
                    layer.name,
                    layer.sizes,
                    out_of.float(),
                    into.float(),
                    drawn=drawn.float(),
                    width=_WIDTH,
                )
                for layer, out_of, into, drawn in zip(
                    self.layers, self.out_of, self.into, self.signs, strict=True
                )
            ]
            lowest = last_blocks(model, None)[0][1]
            with left_as_found(model), recorder(model, reductions, lowest) as recorded:
                recorded.begin(*ids.shape)
                tokens = mask.sum(dim=1) - start
                trained = from_start(start, ids.shape[1])
                (mean_token_losses(model, ids, mask, trained) * tokens).sum().backward()
                return rooted(recorded.features().float())


def rooted(features: torch.Tensor) -> torch.Tensor:
    """(B, F) over the roots of their lengths; 0 stays 0."""
    lengths = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / lengths.clamp(min=torch.finfo(features.dtype).tiny).sqrt()


def _constant(values: npt.NDArray[Any]) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=torch.float32), requires_grad=False)
