"""Settings of a training."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from airrep.errors import ArgumentError
from airrep.pooling import GROUP_POOLINGS, GroupPooling

_WEIGHTINGS = ("difference", "none")
_STARTS = ("whitened", "teacher")
TRAINABLE = ("projector", "all", "lora:RANK")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of `train_encoder`.

    Attributes:
        trainable: "projector" (on cached features of the frozen backbone: minutes), "all", or
            "lora:RANK" (adapters on the backbone's linear layers, merged at the end).
        dim: D; at most the number of features.
        damping: Damping of the whitening that the projector starts from (see `whitening`).
        start: "whitened" features, or "teacher": what features tell of the teacher's vectors (see
            `airrep.training.regression`).
        ridge: Ridge of the regression on the teacher's vectors.
        pooling: GroupPooling of a subset's scores while training.
        scale: Where the scale of scores starts; it is learned.
        weighting: Weighting of pairs of subsets (see `airrep.training.objective`).
        least: Pairs count whose labels differ by more.
        most: The largest weight of a pair.
        steps: Optimiser steps; the learning rate falls to zero over them. 0 trains nothing.
        warmup: Share of the steps over which the learning rate rises.
        learning_rate: Learning rate of projector and scale.
        backbone_learning_rate: Learning rate of everything below.
        gradient_norm: Gradients are clipped at this norm.
        decay: Strength of the pull of the projector towards where it started.
        subsets: Subsets of a step, of one split.
        targets: Examples of a step, of the same split.
        distil: Weight of the teacher's part of the loss, where there is a teacher.
        distil_rows: Rows of a step that are compared as the teacher compares them.
        source_share: How much of what is learned about an example, 0 to 1, is the mean over the
            examples of its source: labels, and the teacher's vectors (see
            `airrep.training.source_share`).
        evaluate_every: Steps between validations.
        patience: Training stops after so many validations without a better LDS.
        tokens_per_batch: Padded tokens encoded at once; bounds memory.
        seed: Seed of the draws.
    """

    trainable: str = "projector"
    dim: int = 384
    damping: float = 3.0
    start: str = "whitened"
    ridge: float = 0.1
    pooling: GroupPooling = "attention"
    scale: float = 5.0
    weighting: str = "difference"
    least: float = 0.1
    most: float = 5.0
    steps: int = 200
    warmup: float = 0.1
    learning_rate: float = 2e-3
    backbone_learning_rate: float = 5e-5
    gradient_norm: float = 1.0
    decay: float = 0.3
    subsets: int = 128
    targets: int = 128
    distil: float = 1.0
    distil_rows: int = 512
    source_share: float = 0.0
    evaluate_every: int = 25
    patience: int = 4
    tokens_per_batch: int = 4096
    seed: int = 0

    def __post_init__(self) -> None:
        self.adapter_rank  # noqa: B018 (refuses what it cannot read)
        for name, known in (
            ("pooling", GROUP_POOLINGS),
            ("weighting", _WEIGHTINGS),
            ("start", _STARTS),
        ):
            if getattr(self, name) not in known:
                raise ArgumentError(
                    f"training.{name} {getattr(self, name)!r} is unknown; choose from "
                    f"{', '.join(known)}."
                )
        for name, least in (
            ("dim", 1),
            ("steps", 0),
            ("subsets", 2),
            ("targets", 1),
            ("distil_rows", 2),
            ("evaluate_every", 1),
            ("patience", 1),
            ("tokens_per_batch", 1),
            ("seed", 0),
        ):
            if getattr(self, name) < least:
                raise ArgumentError(
                    f"training.{name}: expected {least} or more, found {getattr(self, name)}."
                )
        for name in (
            "damping",
            "ridge",
            "scale",
            "learning_rate",
            "backbone_learning_rate",
            "gradient_norm",
            "most",
        ):
            if not 0 < getattr(self, name) < inf:
                raise ArgumentError(
                    f"training.{name}: expected a number above 0, found {getattr(self, name)}."
                )
        if not 0 <= self.least < self.most or not 0 <= self.warmup < 1:
            raise ArgumentError(
                "training: expected 0 <= least < most and 0 <= warmup < 1; found "
                f"{self.least}, {self.most} and {self.warmup}."
            )
        if not 0 <= self.decay < inf or not 0 <= self.distil < inf:
            raise ArgumentError("training: decay and distil should be numbers, 0 or more.")
        if not 0 <= self.source_share <= 1:
            raise ArgumentError(
                f"training.source_share: expected a number from 0 to 1, found {self.source_share}."
            )

    @property
    def adapter_rank(self) -> int | None:
        """LoRA's rank, or None.

        Raises:
            ArgumentError: `trainable` is not understood.
        """
        if self.trainable in ("projector", "all"):
            return None
        kind, _, rank = self.trainable.partition(":")
        if kind != "lora" or not rank.isdecimal() or int(rank) < 1:
            raise ArgumentError(
                f"training.trainable {self.trainable!r} is not understood; write "
                f"{', '.join(TRAINABLE)}."
            )
        return int(rank)
