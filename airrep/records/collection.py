"""Many examples at once, which may be made only when they are looked at."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from hashlib import blake2b
from typing import overload

import numpy as np
import numpy.typing as npt

from airrep.records.example import Example


class Examples(Sequence[Example]):
    """Examples of rows that lie elsewhere, made anew each time they are asked for.

    To go through them once, in order, is cheap; to pick single ones is not. What there is of them
    in memory is their ids and sources.
    """

    @property
    @abstractmethod
    def ids(self) -> list[str]:
        """Their ids, in order."""

    @property
    @abstractmethod
    def sources(self) -> list[str]:
        """Their sources, in order."""

    @property
    @abstractmethod
    def rows(self) -> npt.NDArray[np.int64]:
        """Their positions in the user's rows, in order."""

    @abstractmethod
    def take(self, positions: npt.NDArray[np.int64]) -> Examples:
        """Those at some positions, in this order."""

    @overload
    def __getitem__(self, key: int) -> Example: ...
    @overload
    def __getitem__(self, key: slice) -> Examples: ...
    def __getitem__(self, key: int | slice) -> Example | Examples:
        """One of them, or some."""
        if isinstance(key, slice):
            return self.take(np.arange(len(self), dtype=np.int64)[key])
        position = range(len(self))[key]
        return next(iter(self.take(np.array([position], dtype=np.int64))))


class Fingerprint:
    """A digest of examples in order: of their ids, prompts and completions."""

    def __init__(self) -> None:
        self._digest = blake2b(digest_size=16)

    def add(self, example: Example) -> None:
        """Take up the next example."""
        for part in (example.id, example.prompt, example.completion):
            encoded = part.encode("utf-8")
            self._digest.update(len(encoded).to_bytes(8, "little"))
            self._digest.update(encoded)

    @property
    def hex(self) -> str:
        """The digest of those taken up so far."""
        return self._digest.hexdigest()


def ids_of(examples: Sequence[Example]) -> list[str]:
    """The ids of examples, in order."""
    return examples.ids if isinstance(examples, Examples) else [each.id for each in examples]


def sources_of(examples: Sequence[Example]) -> list[str]:
    """The sources of examples, in order; "" where a row names none."""
    if isinstance(examples, Examples):
        return examples.sources
    return [each.source for each in examples]


def rows_of(examples: Sequence[Example]) -> npt.NDArray[np.int64]:
    """The positions of examples in the user's rows, in order."""
    if isinstance(examples, Examples):
        return examples.rows
    return np.array([each.row for each in examples], dtype=np.int64)


def taken(examples: Sequence[Example], positions: npt.NDArray[np.int64]) -> Sequence[Example]:
    """Those at some positions, in this order."""
    if isinstance(examples, Examples):
        return examples.take(positions)
    return [examples[i] for i in positions.tolist()]
