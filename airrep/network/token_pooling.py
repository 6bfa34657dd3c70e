"""Token pooling: a backbone's states of a text's tokens to its features, which the projector maps.

How a checkpoint does it is `token_pooling` in its config:

    mean, cls       the states of all tokens, averaged; or the first token's
    segments        averages over the prompt's and over the completion's tokens, side by side
    levels          the same of several layers' states, from the token embeddings to the last
    prediction      for a causal language model: what it has in mind while it predicts the
                    completion, and how far its prediction is off (`PredictionPooling`)
    gradient        for one, too: where the text would move its weights; a backward pass more
                    (`airrep.network.gradient_pooling`)

Shapes: B texts, L tokens (padded), H hidden size, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from airrep.language_model.batching import in_blocks

SENTENCE_POOLINGS = ("mean", "cls", "segments", "levels")
LANGUAGE_MODEL_POOLINGS = ("prediction", "gradient")
TOKEN_POOLINGS = (*SENTENCE_POOLINGS, *LANGUAGE_MODEL_POOLINGS)

_LEVELS = 5  # hidden states looked at, from the token embeddings to the last
_RANK = 16  # of each side of an outer product


def feature_blocks(token_pooling: str, hidden: int, layers: int) -> list[int]:
    """Widths of the parts of the features, left to right; they sum to F.

    Args:
        token_pooling: One of `TOKEN_POOLINGS`, but for "gradient": `GradientPooling.width`.
        hidden: H.
        layers: Layers of the backbone.
    """
    if token_pooling == "segments":
        return [hidden, hidden]
    if token_pooling == "levels":
        return [hidden, hidden] * len(level_numbers(layers))
    if token_pooling == "prediction":
        levels = len(level_numbers(layers))
        rank = min(_RANK, hidden)
        return [rank * rank] * levels + [hidden] * (2 * levels + 3)
    return [hidden]


def level_numbers(layers: int) -> list[int]:
    """Which of a model's layers + 1 hidden states are looked at: all, or evenly spaced ones."""
    return np.unique(np.linspace(0, layers, min(_LEVELS, layers + 1)).round().astype(int)).tolist()


def pool_states(
    states: Sequence[torch.Tensor], mask: torch.Tensor, start: torch.Tensor, how: str
) -> torch.Tensor:
    """Hidden states (B, L, H) of a sentence encoder to features (B, F), in float32.

    Args:
        states: (B, L, H) of the last layer; for "levels" those of all, the token embeddings first.
        mask: (B, L), 1 for tokens and 0 for padding.
        start: (B,) position of each completion's first token.
        how: One of `SENTENCE_POOLINGS`. A segment without tokens has features 0; a text without
            any has a mean of NaN.
    """
    last = states[-1]
    if how == "cls":
        return last[:, 0].float()
    if how == "mean":
        weights = mask.float()  # (B, L)
        return _sum(last.float(), weights) / weights.sum(dim=1, keepdim=True)
    looked_at = [states[i] for i in level_numbers(len(states) - 1)] if how == "levels" else [last]
    parts = segments(mask, start)
    wide = (level.float() for level in looked_at)
    return torch.cat([_mean(level, part) for level in wide for part in parts], dim=1)


def segments(mask: torch.Tensor, start: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompt's and completion's tokens, each (B, L) of 1 and 0 in float32."""
    places = torch.arange(mask.shape[1], device=mask.device)
    weights = mask.float()
    before = (places < start[:, None]).float()
    return weights * before, weights * (1 - before)


class PredictionPooling(nn.Module):
    """A causal language model's features of a text, by one forward pass.

    The gradient of a completion's loss with respect to a weight matrix is a sum of outer products
    over tokens: an input to the matrix times a gradient at its output. Both are at hand without a
    backward pass if the blocks above are taken as the identity (residual streams nearly are): the
    inputs are hidden states h, and the gradient at the last state is, up to sign,

        e_t = W[y_t] - sum_v p_t(v) W[v]

    with output embeddings W, next token y_t and the model's distribution p_t. The features:

        mean over t of (P_out e_t) (P_level ĥ_t)ᵀ   at each level of hidden states; P projects,
                                                    ĥ is h divided by its root mean square
        mean over t of e_t
        mean over t of h_t                          at each level, where completion tokens are
                                                    predicted, and again where they are read
        mean of W[y_t], and mean of W over the prompt's tokens

    t runs over the completion's tokens. Levels: all hidden states, or five evenly spaced ones.
    """

    def __init__(self, hidden: int, layers: int) -> None:
        super().__init__()
        self.levels = level_numbers(layers)
        rank = min(_RANK, hidden)
        # Random directions, kept in the checkpoint: part of what its embeddings mean.
        rng = np.random.default_rng(0)
        drawn = [
            np.linalg.qr(rng.normal(size=(hidden, rank)))[0] for _ in range(len(self.levels) + 1)
        ]
        self.inputs = nn.Parameter(torch.tensor(np.stack(drawn[1:]), dtype=torch.float32), False)
        self.errors = nn.Parameter(torch.tensor(drawn[0], dtype=torch.float32), False)

    def forward(
        self,
        model: Any,  # noqa: ANN401 (a causal language model)
        input_ids: torch.Tensor,
        mask: torch.Tensor,
        start: torch.Tensor,
    ) -> torch.Tensor:
        """Features (B, F), float32, of texts whose completions start at `start` (B,), 1 or more."""
        base = model.base_model(
            input_ids=input_ids, attention_mask=mask, output_hidden_states=True, use_cache=False
        )
        prompt, read = segments(mask, start)
        predicting = torch.cat([read[:, 1:], torch.zeros_like(read[:, :1])], dim=1)
        output = model.get_output_embeddings()
        error = self._errors(base.last_hidden_state, input_ids, predicting, output)
        errors = error @ self.errors.float()  # (B, L, rank)
        count = predicting.sum(dim=1).clamp(min=1)[:, None, None]
        outer, before, after = [], [], []
        for number, level in enumerate(self.levels):
            states = base.hidden_states[level].float()
            projected = _unit_rms(states) @ self.inputs[number].float()  # (B, L, rank)
            outer.append((errors.mT @ projected / count).flatten(1))
            before.append(_mean(states, predicting))
            after.append(_mean(states, read))
        words = nn.functional.embedding(input_ids, output.weight).float()
        last = [_mean(words, read), _mean(words, prompt)]
        return torch.cat([*outer, _mean(error, predicting), *before, *after, *last], dim=1)

    def _errors(
        self,
        states: torch.Tensor,
        input_ids: torch.Tensor,
        predicting: torch.Tensor,
        output: Any,  # noqa: ANN401
    ) -> torch.Tensor:
        """e_t where a completion token is predicted, else 0: (B, L, H) float32."""
        places = predicting.bool()
        next_ids = torch.roll(input_ids, -1, dims=1)[places]

        def part(chosen: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
            # One product, so that nothing cancels where the model is sure of its prediction.
            off = -torch.softmax(output(chosen).float(), dim=-1)
            off.scatter_add_(1, ids[:, None], torch.ones_like(ids[:, None], dtype=off.dtype))
            return (off.to(output.weight.dtype) @ output.weight).float()

        def forgotten(chosen: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
            # computed again in a backward pass, so that no distribution waits for it
            found: torch.Tensor = checkpoint(
                part, chosen, ids, use_reentrant=False, preserve_rng_state=False
            )
            return found

        errors = torch.zeros(*states.shape, dtype=torch.float32, device=states.device)
        if not len(next_ids):
            return errors
        return errors.masked_scatter(
            places[..., None], in_blocks(forgotten, states[places], next_ids)
        )


def _unit_rms(states: torch.Tensor) -> torch.Tensor:
    """What a layer behind a norm sees of (B, L, H)."""
    return states * torch.rsqrt(states.square().mean(dim=-1, keepdim=True) + 1e-6)


def _mean(states: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean of (B, L, H) over tokens; 0 where there are none."""
    return _sum(states, weights) / weights.sum(dim=1, keepdim=True).clamp(min=1)


def _sum(states: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted sum of (B, L, H) over tokens; as a product, which copies no states."""
    return torch.bmm(weights[:, None], states)[:, 0]
