"""Copies of an encoder, to be trained or to be saved in half the space; the encoder stays as it is.

A copy has one set of weights of its own at most: those that stay the same are shared.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path

import torch
from torch import nn

from airrep.encoder import AirRep


def copy_to_train(encoder: AirRep, *, backbone: bool) -> AirRep:
    """A copy in evaluation mode, in which a text that is encoded twice comes out the same.

    Args:
        encoder: In float32.
        backbone: Whether the backbone's weights will be trained; if not, they are shared.
    """
    shared = () if backbone else encoder.model.bert.parameters()
    copied = _copied(encoder, shared, torch.float32)
    copied.model.eval()
    return copied


def save_narrow(encoder: AirRep, directory: str | Path) -> str:
    """Write a checkpoint in float16, or float32 if a weight is too large for it; says which."""
    weights = list(encoder.model.parameters())
    largest = max(float(weight.detach().abs().max()) for weight in weights)
    precision = torch.float16 if largest <= torch.finfo(torch.float16).max else torch.float32
    narrow = _copied(encoder, weights, precision)
    narrow.model.to(precision)  # buffers
    narrow.save_pretrained(directory)
    return str(precision).removeprefix("torch.")


def _copied(encoder: AirRep, weights: Iterable[nn.Parameter], dtype: torch.dtype) -> AirRep:
    """A copy with these weights in a dtype: the encoder's own memory where they have it already."""
    made = {id(w): nn.Parameter(w.detach().to(dtype), w.requires_grad) for w in weights}
    return AirRep(deepcopy(encoder.model, made), encoder.tokenizer, encoder.name)
