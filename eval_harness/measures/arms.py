"""Ways to choose rows, compared by the losses that fine-tuning on them leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from eval_harness.files.markdown import table
from eval_harness.measures.paired import paired_difference
from eval_harness.measures.rank_statistics import Interval

Float64 = npt.NDArray[np.float64]
NO_TRAINING, RANDOM, WORDS, SELECTED = "no training", "random rows", "TF-IDF", "selected"


@dataclass(frozen=True)
class Arm:
    """What came of one way to choose rows.

    Attributes:
        name: The way.
        loss: Mean loss on the held-out targets, in nats a token.
        vs_random: Loss minus that after random rows, below 0 if it is better; None of these.
        accuracy: Share of the held-out targets with labels whose right label is the likeliest;
            None without labels.
    """

    name: str
    loss: float
    vs_random: Interval | None
    accuracy: float | None


@dataclass(frozen=True)
class Trial:
    """Whether selecting helped; as text, a table and a sentence.

    Attributes:
        arms: No training, random rows, TF-IDF's rows and the selected ones, in this order.
        vs_words: Loss after the selected rows minus that after TF-IDF's.
        k: Rows of every selection.
        repeats: Fine-tuning runs of every arm.
        held_out: Targets that the losses are of.
        seconds: How long all of it took.
    """

    arms: tuple[Arm, ...]
    vs_words: Interval
    k: int
    repeats: int
    held_out: int
    seconds: float

    @classmethod
    def of(
        cls,
        losses: Mapping[str, Float64],
        accuracies: Mapping[str, float | None],
        k: int,
        seconds: float,
    ) -> Trial:
        """Compare arms.

        Args:
            losses: Arm to (runs, held-out targets); of no training, one run.
            accuracies: Arm to its share of right labels.
            k: Rows of every selection.
            seconds: How long it took.

        Example:
            >>> rows = np.arange(8.0)[None]
            >>> losses = {NO_TRAINING: rows + 2, RANDOM: rows + 1, WORDS: rows, SELECTED: rows}
            >>> print(Trial.of(losses, dict.fromkeys(losses), 100, 60.0).verdict[:48])
            The 100 selected rows lower the loss on 8 held-o
        """
        names = (NO_TRAINING, RANDOM, WORDS, SELECTED)
        arms = tuple(
            Arm(
                name,
                float(losses[name].mean()),
                None if name == RANDOM else paired_difference(losses[name], losses[RANDOM]),
                accuracies[name],
            )
            for name in names
        )
        words = paired_difference(losses[SELECTED], losses[WORDS])
        runs, held_out = losses[SELECTED].shape
        return cls(arms, words, k, runs, held_out, seconds)

    @property
    def verdict(self) -> str:
        """What the intervals say, in a sentence or two."""
        found = {arm.name: arm for arm in self.arms}
        mine = found[SELECTED].vs_random
        assert mine is not None, "only random rows are not compared with random rows"
        on = f"on {counted(self.held_out, 'held-out target')}"
        if mine.high < 0:
            said = (
                f"The {self.k:,} selected rows lower the loss {on} by {-mine.mean:.3f} nats more "
                f"than random rows do (95% interval {_between(mine, -1)}): selecting helps here."
            )
        elif mine.low > 0:
            said = (
                f"Random rows lower the loss {on} by {mine.mean:.3f} nats more than the {self.k:,} "
                f"selected ones do (95% interval {_between(mine)}): selecting hurts here."
            )
        else:
            said = (
                f"The {self.k:,} selected rows cannot be told from random ones {on}: the losses "
                f"differ by {mine.mean:+.3f} nats (95% interval {_between(mine)})."
            )
        if self.vs_words.high < 0:
            said += f" They are ahead of TF-IDF's rows, by {-self.vs_words.mean:.3f} nats."
        elif self.vs_words.low > 0:
            said += f" TF-IDF's rows are better by {self.vs_words.mean:.3f} nats."
        else:
            said += " They cannot be told from TF-IDF's rows."
        if found[SELECTED].loss >= found[NO_TRAINING].loss:
            said += " No training at all leaves the lowest loss: try a lower learning rate."
        return said

    @property
    def markdown(self) -> str:
        """The table, and what it says."""
        labels = any(arm.accuracy is not None for arm in self.arms)
        head = ["", "loss, nats a token", "minus random", "95% interval", "right label"]
        rows = []
        for arm in self.arms:
            gap = arm.vs_random
            mean, interval = ("", "") if gap is None else (f"{gap.mean:+.3f}", _between(gap))
            right = "" if arm.accuracy is None else f"{arm.accuracy:.0%}"
            rows.append([arm.name, f"{arm.loss:.3f}", mean, interval, right])
        width = len(head) - (not labels)
        seeds = "" if self.repeats > 1 else "; the intervals do not hold for other seeds"
        return (
            f"{table(head[:width], [row[:width] for row in rows])}\n\n{self.verdict}\n\n"
            f"{counted(self.k, 'row')}, {counted(self.repeats, 'run')} of each{seeds}. "
            f"{self.seconds / 60:.1f} minutes."
        )

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self) | {"verdict": self.verdict}

    def __str__(self) -> str:
        return self.markdown


def _between(interval: Interval, sign: int = 1) -> str:
    low, high = sorted((sign * interval.low, sign * interval.high))
    return f"{low:+.3f} to {high:+.3f}"
