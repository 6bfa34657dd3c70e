"""The rows of a training as one list of texts, each once, with their labels.

Shapes: S subsets, R repeats, E examples, n different texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from airrep.errors import ArgumentError
from airrep.records import Example
from airrep.template import TextTemplate, text_fingerprint
from airrep.training.cached_gradients import Positions
from airrep.training.objective import influence_labels
from airrep.training.source_share import share_labels, share_vectors


@dataclass(frozen=True, eq=False)
class Supervision:
    """What training on subsets of a pool did to examples.

    Attributes:
        pool: Rows that the subsets are of.
        examples: Examples whose losses were measured.
        subsets: S arrays of pool positions.
        losses: (S, R, E) nats.
    """

    pool: Sequence[Example]
    examples: Sequence[Example]
    subsets: Sequence[Positions]
    losses: npt.NDArray[np.float64] = field(repr=False)

    def __post_init__(self) -> None:
        if self.losses.shape[::2] != (len(self.subsets), len(self.examples)):
            raise ArgumentError(
                f"losses: expected ({len(self.subsets)} subsets, repeats, {len(self.examples)} "
                f"examples), found {self.losses.shape}."
            )


@dataclass(frozen=True, eq=False)
class Teacher:
    """Vectors whose cosines the encoder's should follow (of projected gradients, for example).

    Attributes:
        examples: What the vectors are of; they need no measured losses.
        vectors: (len(examples), P), of length 1.
    """

    examples: Sequence[Example]
    vectors: npt.NDArray[np.float32] = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.vectors) != len(self.examples) or self.vectors.ndim != 2:
            raise ArgumentError(
                f"teacher: expected ({len(self.examples)}, P), found {self.vectors.shape}."
            )
        lengths = np.linalg.norm(self.vectors, axis=1)
        if not np.allclose(lengths, 1, atol=1e-3):
            worst = int(np.abs(lengths - 1).argmax())
            raise ArgumentError(
                f"teacher: vector {worst} has length {lengths[worst]:.4g}; expected length 1."
            )

    def shared(self, share: float) -> Teacher:
        """The same with vectors nearer to those of their source: `airrep.training.source_share`."""
        sources = [example.source for example in self.examples]
        return replace(self, vectors=share_vectors(self.vectors, sources, share))


@dataclass(frozen=True, eq=False)
class Validation:
    """How good an encoder is, on data it does not learn from.

    Attributes:
        pool: Rows that the subsets are of.
        targets: Examples.
        subsets: Arrays of pool positions.
        measure: (subsets, targets) predicted influence to a figure, larger = better (the LDS).
    """

    pool: Sequence[Example]
    targets: Sequence[Example]
    subsets: Sequence[Positions]
    measure: Callable[[npt.NDArray[np.float32]], float]


@dataclass(frozen=True, eq=False)
class Part:
    """One split's supervision by number of text.

    Attributes:
        subsets: (S,) arrays of texts.
        targets: (E,) texts.
        labels: (S, E), see `influence_labels` and `share_labels`.
    """

    subsets: Sequence[Positions]
    targets: Positions
    labels: npt.NDArray[np.float32]


class Texts:
    """Different texts, numbered in the order in which they were first seen."""

    def __init__(self, template: TextTemplate) -> None:
        self._template = template
        self._numbers: dict[str, int] = {}

    def add(self, examples: Sequence[Example]) -> Positions:
        """The number of each example's text."""
        texts = (self._template.render(e) for e in examples)
        numbers = [self._numbers.setdefault(text, len(self._numbers)) for text in texts]
        return np.array(numbers, dtype=np.int64)

    def part(self, supervision: Supervision, source_share: float = 0.0) -> Part:
        """A split's supervision over the texts' numbers."""
        pool, targets = self.add(supervision.pool), self.add(supervision.examples)
        subsets = [pool[rows] for rows in supervision.subsets]
        sources = [example.source for example in supervision.examples]
        labels = share_labels(influence_labels(supervision.losses), sources, source_share)
        return Part(subsets, targets, labels)

    def all(self) -> list[str]:
        """Every text, by number."""
        return list(self._numbers)


def data_fingerprint(
    texts: Texts, parts: Sequence[Part], others: Sequence[npt.NDArray[Any]]
) -> str:
    """Changes whenever training could come out differently for the data's sake.

    Args:
        texts: All of them.
        parts: The splits.
        others: Whatever else training looks at.
    """
    digest = blake2b(digest_size=16)
    for text in texts.all():
        digest.update(text_fingerprint(text))
    arrays: list[npt.NDArray[Any]] = []
    for part in parts:
        arrays += [*part.subsets, part.targets, part.labels]
    for array in (*arrays, *others):
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
