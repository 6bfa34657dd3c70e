"""An encoder of a language model's gradients, fitted to rows alone: it has seen no runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from airrep.console.wording import counted
from airrep.encoder import AirRep
from airrep.errors import ArgumentError
from airrep.records import Example
from airrep.training.config import TrainConfig
from airrep.training.directions import fit_directions
from airrep.training.loop import start_whitened
from airrep.training.starting_point import starting_point

LARGEST_DIM = 1024
_ROWS = 4096  # as many as whitening looks at; bounds the time
_DAMPING, _SCALE = 30.0, 5.0  # of examples/t0/encoder/gradient.yaml


def gradient_encoder(
    model: str | Path,
    examples: Sequence[Example],
    *,
    dim: int | None = None,
    separator: str = "",
    max_tokens: int = 512,
    tokens_per_batch: int = 4096,
    seed: int = 0,
    progress: bool = False,
) -> AirRep:
    """The encoder that `airrep.training.loop` would start from with token_pooling "gradient".

    Args:
        model: Directory, GGUF file or hub id of the causal language model that will be fine-tuned.
        examples: Rows like those that it will be fine-tuned on; some thousands are looked at.
        dim: Numbers of an embedding; default 1,024, or fewer where there are fewer rows.
        separator: See `starting_point`.
        max_tokens: See `starting_point`.
        tokens_per_batch: Padded tokens at once on a GPU, where it bounds memory.
        seed: Seed of what is drawn.
        progress: Show progress bars on standard error.

    Raises:
        ArgumentError: Fewer than two rows, or more dimensions than rows or features.
        MissingInputError: No such model.
        CheckpointError: It cannot be loaded.
        EmbeddingError: A gradient is NaN or infinite.
    """
    rows = list(examples)
    if len(rows) > _ROWS:
        rng = np.random.default_rng(seed)
        drawn = np.sort(rng.choice(len(rows), _ROWS, replace=False))
        rows = [rows[i] for i in drawn.tolist()]
    encoder = starting_point(
        model, token_pooling="gradient", separator=separator, max_tokens=max_tokens
    )
    most = min(len(rows) - 1, sum(encoder.model.feature_blocks))
    if len(rows) < 2 or (dim is not None and not 1 <= dim <= most):
        raise ArgumentError(
            f"an encoder of {counted(len(rows), 'row')}: expected 2 or more, and 1 to "
            f"{max(most, 0)} dimensions, found dim={dim}."
        )
    config = TrainConfig(dim=dim or min(LARGEST_DIM, most), damping=_DAMPING, scale=_SCALE)
    fit_directions(encoder, rows, seed, progress=progress)
    texts = [encoder.template.render(example) for example in rows]
    features = encoder.features(texts, tokens_per_batch=tokens_per_batch, progress=progress)
    start_whitened(encoder, features, config)
    return encoder
