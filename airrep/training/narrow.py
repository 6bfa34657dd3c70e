"""Checkpoints in half the space."""

from __future__ import annotations

from pathlib import Path

import torch

from airrep.encoder import AirRep


def save_narrow(encoder: AirRep, directory: str | Path) -> str:
    """Write a checkpoint in float16, or float32 if a weight is too large for it; says which.

    The encoder itself is left in that precision.
    """
    weights = list(encoder.model.parameters())
    largest = max(float(weight.detach().abs().max()) for weight in weights)
    precision = torch.float16 if largest <= torch.finfo(torch.float16).max else torch.float32
    encoder.model.to(precision)
    encoder.save_pretrained(directory)
    return str(precision).removeprefix("torch.")
