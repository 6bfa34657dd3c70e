"""A selection that changes while a model trains on it: its rounds, their order, their file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from airrep.console.wording import shown
from airrep.disk.atomic import atomic_file
from airrep.disk.sealed import reading
from airrep.errors import ArgumentError, CheckpointError
from airrep.records import Example
from airrep.schema import converted
from curate.manifest.provenance import fingerprint

SELECTION_FILE = "selection.json"
_VERSION = 1
NO_SOURCE = "(no source)"


@dataclass(frozen=True, slots=True)
class Round:
    """What is trained on from one selection to the next.

    Attributes:
        number: From 0.
        step: Optimizer steps taken when it began.
        indices: Positions in the pool, best first.
        fingerprint: Digest of those rows in order; that of a manifest of `curate.select`.
        churn: Share of the rows that were not in the round before; None for the first.
        weights: How much each target counted; they sum to 1.
        losses: Each target's mean loss in nats when the round began; None if not measured.
        shares: Source to its share of the rows, largest first.
    """

    number: int
    step: int
    indices: tuple[int, ...] = field(repr=False)
    fingerprint: str
    churn: float | None
    weights: tuple[float, ...] = field(repr=False)
    losses: tuple[float, ...] | None = field(repr=False)
    shares: dict[str, float] = field(repr=False)


@dataclass
class LiveSelection:
    """The rounds so far, the last of which is trained on.

    Attributes:
        rounds: In order.
        seed: Seed of the order within a round.
        shuffle: Whether a round's rows are shuffled, or come best first.
    """

    rounds: list[Round] = field(default_factory=list)
    seed: int = 0
    shuffle: bool = True

    def begin(
        self,
        step: int,
        indices: Sequence[int],
        pool: Sequence[Example],
        weights: Sequence[float],
        losses: Sequence[float] | None,
    ) -> Round:
        """Make the next round of these rows."""
        chosen = tuple(int(i) for i in indices)
        before = set(self.rounds[-1].indices) if self.rounds else None
        counts = Counter(pool[i].source or NO_SOURCE for i in chosen)
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        begun = Round(
            number=len(self.rounds),
            step=step,
            indices=chosen,
            fingerprint=fingerprint(pool[i] for i in chosen),
            churn=None if before is None else len(set(chosen) - before) / len(chosen),
            weights=tuple(map(float, weights)),
            losses=None if losses is None else tuple(map(float, losses)),
            shares={source: count / len(chosen) for source, count in ranked},
        )
        self.rounds.append(begun)
        return begun

    def order(self, length: int) -> npt.NDArray[np.int64]:
        """The first `length` pool positions (length,) that the current round trains on.

        One pass over its rows after another; each pass in an order that depends on the seed, the
        round and the pass alone.

        Raises:
            ArgumentError: No round has begun.
        """
        if not self.rounds:
            raise ArgumentError(
                "no round has begun: rows are chosen when training begins, so there is nothing to "
                "sample before."
            )
        now = self.rounds[-1]
        rows = np.array(now.indices, dtype=np.int64)
        passes = range(-(-length // len(rows)))
        if self.shuffle:
            drawn = [
                np.random.default_rng([self.seed, now.number, each]).permutation(rows)
                for each in passes
            ]
        else:
            drawn = [rows for _ in passes]
        return np.concatenate(drawn)[:length]


def save_rounds(file: Path, rounds: Sequence[Round], settings: Mapping[str, Any]) -> None:
    """Write the history, and what it was made with; the file appears whole or not at all."""
    content = {"version": _VERSION, "settings": settings, "rounds": [asdict(r) for r in rounds]}
    with atomic_file(file) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False) + "\n", "utf-8")


def load_rounds(file: Path, settings: Mapping[str, Any]) -> list[Round]:
    """Read a history that was made with the same settings.

    Raises:
        CheckpointError: There is none, it cannot be read, or other settings made it.
    """
    if not file.exists():
        raise CheckpointError(
            f"{file.parent} holds no {file.name}: it was not written by a trainer with a live "
            "selection. Choose a checkpoint of this run, or start anew without it."
        )
    remedy, problem = "Choose an earlier checkpoint", "not the history of a live selection"
    with reading(file, remedy, CheckpointError, problem):
        content = json.loads(file.read_text("utf-8"))
        rounds = converted(content["rounds"], list[Round])
        found = {**content["settings"], "version": content["version"]}
    wanted = {**json.loads(json.dumps(settings)), "version": _VERSION}
    for name in wanted:
        if found.get(name) != wanted[name]:
            raise CheckpointError(
                f"{file}: this run's {name} is not the checkpoint's (it was "
                f"{shown(found.get(name))}, now it is {shown(wanted[name])}). Repeat the call that "
                "began the run, or start anew without the checkpoint."
            )
    return rounds
