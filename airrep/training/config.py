"""Settings of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from airrep.errors import ArgumentError
from airrep.pooling import GroupPooling
from airrep.schema import Amount, Count, Natural, Positive, Share, check_fields

Weighting = Literal["difference", "none"]
Pair = Annotated[int, Meta(ge=2)]
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
        steps: Optimizer steps; the learning rate falls to zero over them. 0 trains nothing.
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
    dim: Count = 384
    damping: Positive = 3.0
    start: Literal["whitened", "teacher"] = "whitened"
    ridge: Positive = 0.1
    pooling: GroupPooling = "attention"
    scale: Positive = 5.0
    weighting: Weighting = "difference"
    least: Amount = 0.1
    most: Positive = 5.0
    steps: Natural = 200
    warmup: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    learning_rate: Positive = 2e-3
    backbone_learning_rate: Positive = 5e-5
    gradient_norm: Positive = 1.0
    decay: Amount = 0.3
    subsets: Pair = 128
    targets: Count = 128
    distil: Amount = 1.0
    distil_rows: Pair = 512
    source_share: Share = 0.0
    evaluate_every: Count = 25
    patience: Count = 4
    tokens_per_batch: Count = 4096
    seed: Natural = 0

    def __post_init__(self) -> None:
        self.adapter_rank  # noqa: B018 (refuses what it cannot read)
        check_fields(self, "training")
        if self.least >= self.most:
            raise ArgumentError(
                f"training: expected least < most, found {self.least} and {self.most}."
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
