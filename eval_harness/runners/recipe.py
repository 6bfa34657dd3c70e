"""Settings of fine-tuning on a few rows, which every runner obeys.

Runners differ in speed, not in what they compute: the same rows in the same order, the same
batches, optimizer and schedule (AdamW without weight decay, linear decay to zero, gradient norm
clipped at 1, mean loss over a batch's completion tokens).
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from airrep.errors import ArgumentError
from airrep.schema import Count, Positive, check_fields

Precision = Literal["auto", "float32", "bfloat16"]
Kind = Literal["all", "last", "lora"]
MAX_GRADIENT_NORM = 1.0
BETAS = (0.9, 0.999)
EPSILON = 1e-8
IGNORED = -100  # the label of a token that is not learned


@dataclass(frozen=True, slots=True)
class Trainable:
    """Which weights move: all, those of the last n blocks, or LoRA adapters of rank r.

    Adapters sit on every linear layer of the blocks, with alpha = 2r and no dropout.
    """

    kind: Kind
    size: int = 0

    @classmethod
    def parse(cls, text: str) -> Trainable:
        """Read "all", "last:N" or "lora:RANK".

        Raises:
            ArgumentError: Anything else.
        """
        if text == "all":
            return cls("all")
        found = re.fullmatch(r"(last|lora):([1-9]\d*)", str(text))
        if not found:
            raise ArgumentError(
                f"trainable {text!r} is not understood; write all, last:N (the last N blocks) or "
                "lora:RANK."
            )
        return cls("last" if found[1] == "last" else "lora", int(found[2]))

    def __str__(self) -> str:
        return self.kind if self.kind == "all" else f"{self.kind}:{self.size}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of one fine-tuning run; the defaults are those of the AirRep paper.

    Attributes:
        epochs: Passes over the rows; each in an order of its own.
        learning_rate: At the first step; falls linearly to zero.
        batch_size: Rows per step. Batches run on across the end of an epoch.
        trainable: "all", "last:N" or "lora:RANK"; see `Trainable`.
        precision: Precision of forward and backward; weights and optimizer are float32. "auto" is
            bfloat16 where the hardware has it.

    Example:
        >>> Recipe(epochs=3, batch_size=10).steps(100)
        30
    """

    epochs: Count = 2
    learning_rate: Positive = 2e-5
    batch_size: Count = 32
    trainable: str = "all"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        check_fields(self, "recipe")
        Trainable.parse(self.trainable)

    def steps(self, rows: int) -> int:
        """Optimizer steps of a run on so many rows."""
        return -(-rows * self.epochs // self.batch_size)

    def epochs_for(self, steps: int, rows: int) -> int:
        """Passes over so many rows that come closest to so many optimizer steps, 1 or more."""
        return max(1, round(steps * self.batch_size / rows))

    def order(self, rows: int, seed: int) -> npt.NDArray[np.int64]:
        """Positions (rows · epochs,) in training order: one shuffle after another."""
        rng = np.random.default_rng([seed, rows])
        return np.concatenate([rng.permutation(rows) for _ in range(self.epochs)])

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of a step, from 0."""
        return self.learning_rate * (1.0 - step / steps)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for manifests and config files."""
        return asdict(self)
