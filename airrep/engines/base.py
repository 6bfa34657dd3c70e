"""The interface of an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from airrep.shards.shard import NewShard, TextEncoder

Part = TypeVar("Part")


class Engine(Protocol):
    """Where texts are encoded and scores are looked at."""

    @property
    def at_once(self) -> int:
        """How many shards are made at the same time."""
        ...

    def write(
        self, shards: Sequence[NewShard], encoder: TextEncoder, *, tokens_per_batch: int
    ) -> Iterator[NewShard]:
        """Encode and write shards; each comes back once its files are there, in any order."""
        ...

    def parts(
        self, look: Callable[[Sequence[int], int | None], Part], places: Sequence[int]
    ) -> list[Part]:
        """What `look` makes of the places, dealt out between all who work together.

        Args:
            look: Called with some of the places, ascending, and how many threads it may use (None:
                all); must not depend on how the places are dealt out.
            places: At least one.

        Returns:
            What it made of each share, in any order.
        """
        ...
