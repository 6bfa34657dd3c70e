"""Adam's second moments: the mean square of each weight's gradient over batches of training.

Adam moves a weight by its gradient over the root of that mean square (Kingma and Ba 2015, arXiv
1412.6980), so that weights of small gradients move as far as those of large ones. Fine-tuning
starts with empty moments and is short; what its batches will give is estimated by the gradients of
random batches at the weights where it starts.

Inner products of two gradients in the metric of Adam's steps have 1/√v, v the second moments; each
gradient is multiplied by v^(-1/4), entry by entry (`adam_metric`) or side by side
(`adam_metric_of_sides`). Weights whose gradients are tiny are not moved without bounds: there is a
floor, as Adam's epsilon is one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers.pytorch_utils import Conv1D

from airrep.console.progress import bar
from airrep.console.wording import counted
from airrep.disk.digests import content_digest
from airrep.disk.parts import kept_steps
from airrep.errors import ArgumentError, EmbeddingError
from airrep.gradients.random_projections import Modules, projected_layers
from airrep.gradients.recorder import gradients_of
from airrep.language_model.model import LanguageModel
from airrep.language_model.passes import (
    autocast,
    check_options,
    chosen_dtype,
    token_key,
    training_batches,
    weights_cast_once,
)
from airrep.language_model.token_losses import mean_token_losses
from airrep.language_model.tokens import Tokens
from airrep.language_model.weights import check_whole
from airrep.records import Example

_MOST_DRAWS, _FEWEST_DRAWS = 100, 10
_FLOOR = 1e-3  # of a layer's mean √v
_FLOOR_OF_SIDES = 1e-6  # of a layer's mean factor


def adam_metric(moment: torch.Tensor) -> torch.Tensor:
    """(outputs, inputs): what each entry of a layer's gradient is multiplied by, v^(-1/4).

    Args:
        moment: Of the layer, from `second_moments`.
    """
    root = moment.sqrt()
    floor = float(root.mean()) * _FLOOR
    return (root + (floor or 1.0)).rsqrt()


def adam_metric_of_sides(moment: torch.Tensor) -> list[torch.Tensor]:
    """(outputs,) and (inputs,): what both sides of a layer's gradient are multiplied by.

    Their product stands for v^(-1/4), with v as a product of one factor per output and one per
    input: v_oi ≈ r_o c_i / mean v (Adafactor: Shazeer and Stern 2018, arXiv 1804.04235).

    Args:
        moment: Of the layer, from `second_moments`.
    """
    root = moment.mean().sqrt()
    sides = (moment.mean(dim=1), moment.mean(dim=0))
    # a layer that nothing moves has no direction: its gradients are 0 in any metric
    return [(side / (root or 1) + (_FLOOR_OF_SIDES * root or 1)).pow(-0.25) for side in sides]


def second_moments(
    model: LanguageModel,
    examples: Sequence[Example],
    *,
    layers: int | None = None,
    modules: Modules = None,
    batch_size: int = 20,
    draws: int | None = None,
    seed: int = 0,
    tokens_per_batch: int = 4096,
    dtype: str = "auto",
    progress: bool = False,
) -> dict[str, torch.Tensor]:
    """Mean square, over random batches, of the gradient of the loss per completion token.

    The network is left as it was found, its `.grad` included.

    Args:
        model: The model to be fine-tuned.
        examples: Rows like those that it will be trained on.
        layers: Only the last so many transformer blocks; None takes all.
        modules: Only layers of these names; see `projected_layers`.
        batch_size: Rows of a batch; all of them where there are fewer.
        draws: How many batches; default 100, or fewer, but at least 10, where they would take
            each example more than twice.
        seed: Seed of the draws.
        tokens_per_batch: Padded tokens at once; bounds memory.
        dtype: See `airrep.gradients.features.gradient_features`.
        progress: Show a progress bar on standard error.

    Returns:
        Name of each layer's module, as `projected_layers` has them, to (outputs, inputs) float32,
        in the order of `nn.Linear`'s weight.

    Raises:
        ArgumentError: An argument is out of range, there are no examples, the weights are
            quantized, or the network has no layer to look at.
        RecordError: An example has no completion.
        EmbeddingError: A gradient is NaN or infinite.
    """
    check_options(dtype, tokens_per_batch)
    check_whole(model.network, "Adam's second moments")
    if not examples or batch_size < 1 or (draws is not None and draws < 1):
        raise ArgumentError(
            "second moments: expected examples, batch_size >= 1 and draws >= 1; found "
            f"{counted(len(examples), 'example')}, batch_size {batch_size} and draws {draws}."
        )
    draws = draws or _draws(len(examples), batch_size)
    network = model.network
    chosen = projected_layers(network, layers=layers, modules=modules)
    linear = {layer.name: network.get_submodule(layer.name) for layer in chosen}
    tokens = model.tokenize(examples)
    rng = np.random.default_rng(seed)
    sums = [torch.zeros_like(m.weight, dtype=torch.float32) for m in linear.values()]
    options = (list(linear), batch_size, draws, seed, tokens_per_batch)
    kept = kept_steps(lambda: _made_by(model, tokens, *options, chosen_dtype(model, dtype)))
    with (
        gradients_of(network, [module.weight for module in linear.values()]),
        weights_cast_once(model, dtype),
    ):
        wanted = [module.weight for module in linear.values()]
        begun, found = kept.find()
        for total, array in zip(sums, found, strict=False):
            total.copy_(torch.from_numpy(array))
        with bar(draws, "moments", "batch", done=begun, shown=progress) as shown:
            for number in range(draws):
                rows = min(batch_size, len(tokens))
                drawn = [tokens[i] for i in np.sort(rng.choice(len(tokens), rows, replace=False))]
                if number < begun:
                    continue
                gradients = batch_gradients(
                    model, drawn, wanted, token_shares(drawn), tokens_per_batch, dtype
                )
                for total, gradient in zip(sums, gradients, strict=True):
                    total += gradient.square() / draws
                shown.advance()
                size = sum(total.nbytes for total in sums)
                kept.put(number + 1, size, lambda: [total.cpu().numpy() for total in sums])
    broken = [name for name, found in zip(linear, sums, strict=True) if not found.isfinite().all()]
    if broken:
        raise EmbeddingError(
            f"second moments: NaN or infinity in {len(broken)} of "
            f"{counted(len(linear), 'layer')}, the first is {broken[0]}; the model's weights are "
            "broken, or its losses overflow."
        )
    return {
        name: found.T if isinstance(module, Conv1D) else found
        for (name, module), found in zip(linear.items(), sums, strict=True)
    }


def _draws(examples: int, batch_size: int) -> int:
    """How many batches, unless somebody says it."""
    if examples <= batch_size:
        return 1  # they are all alike
    return min(_MOST_DRAWS, max(_FEWEST_DRAWS, -(-2 * examples // batch_size)))


def _made_by(model: LanguageModel, tokens: Sequence[Tokens], *options: object) -> str:
    """All that the moments depend on."""
    rows = content_digest(*(token_key(each) for each in tokens))
    return f"moments {model.fingerprint} {model.network.device.type} {rows} {options}"


def token_shares(drawn: Sequence[Tokens]) -> list[float]:
    """How much each row's mean loss counts in training's: its share of the completion tokens."""
    counts = [len(tokens.trained) for tokens in drawn]
    return [count / sum(counts) for count in counts]


def batch_gradients(
    model: LanguageModel,
    drawn: Sequence[Tokens],
    weights: Sequence[torch.Tensor],
    shares: Sequence[float],
    tokens_per_batch: int,
    dtype: str,
) -> list[torch.Tensor]:
    """Gradients of a sum of rows' mean losses, in float32 or what is wider in the weights.

    Args:
        model: The model; within `gradients_of` these weights.
        drawn: Tokens of the rows.
        weights: What the gradients are taken of.
        shares: How much each row's mean loss counts.
        tokens_per_batch: Padded tokens at once; bounds memory.
        dtype: See `second_moments`.
    """
    found = [
        torch.zeros_like(weight, dtype=torch.promote_types(weight.dtype, torch.float32))
        for weight in weights
    ]
    for batch in training_batches(model, drawn, tokens_per_batch):
        with autocast(model, dtype):
            losses = mean_token_losses(model.network, batch.ids, batch.mask, batch.trained)
        share = torch.tensor([shares[i] for i in batch.members]).to(losses)
        parts = torch.autograd.grad((losses * share).sum(), weights, allow_unused=True)
        for total, part in zip(found, parts, strict=True):
            if part is not None:
                total += part
    return found
