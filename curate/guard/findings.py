"""The guard as a whole: leaks first, then near-duplicates among the rows that are left."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt

from airrep.errors import ArgumentError
from airrep.records import Example
from curate.guard.corpus import Int64, read_corpus
from curate.guard.duplicates import DUPLICATE_SHARE, Links, find_links, settle
from curate.guard.leaks import LEAK_SHARE, in_tests, leaks
from curate.guard.overlap import find_overlap
from curate.guard.report import Cluster, Duplicates, GuardReport, Leakage, Removal
from curate.guard.sketches import may_be_near, none


@dataclass(frozen=True, eq=False)
class Findings:
    """What was found in a pool, before it is decided which row of a cluster stays.

    Attributes:
        pool: The rows that were looked at.
        unleaked: Positions in `pool`, ascending, of the rows that are no removed leaks.
    """

    pool: Sequence[Example]
    unleaked: Int64
    _leakage: Leakage
    _duplicates: Duplicates
    _leaks: Mapping[int, Removal]
    _texts: Int64
    _links: Links
    _seconds: float

    def settle(self, strength: npt.NDArray[np.floating] | None = None) -> tuple[GuardReport, Int64]:
        """Decide which rows go.

        Args:
            strength: For duplicates="best", how good each row of `unleaked` is: the best of a
                cluster stays, of equals the first. None for any other setting.

        Returns:
            The report, and the positions in `unleaked` of the rows that stay, ascending.
        """
        start = time.perf_counter()
        clusters: tuple[Cluster, ...] = ()
        doubles: dict[int, Removal] = {}
        if self._duplicates != "off":
            order = np.arange(len(self.unleaked))
            if strength is not None:
                order = np.argsort(-strength, kind="stable")
            clusters, doubles = settle(self.pool, self._texts, self._links, self.unleaked[order])
        removed: list[Removal] = []
        warned: list[Removal] = []
        for found, setting in ((self._leaks, self._leakage), (doubles, self._duplicates)):
            (warned if setting == "warn" else removed).extend(found.values())
        goes = np.zeros(len(self.pool), dtype=bool)
        if self._duplicates != "warn":
            goes[list(doubles)] = True
        report = GuardReport(
            self._leakage,
            self._duplicates,
            len(self.pool),
            tuple(removed),
            tuple(warned),
            clusters,
            round(self._seconds + time.perf_counter() - start, 3),
        )
        return report, np.flatnonzero(~goes[self.unleaked])


def examine(
    pool: Sequence[Example],
    against: Mapping[str, Sequence[Example]],
    *,
    leakage: Leakage = "remove",
    duplicates: Duplicates = "first",
) -> Findings:
    """Look for leaks and near-duplicates, in one pass over the words.

    Args:
        pool: Rows that may be trained on.
        against: Name of a collection to examples that nothing in the pool should be like.
        leakage: Whether leaks go (remove), are reported (warn) or not looked for (off).
        duplicates: Which row of a cluster stays: the first, the best (see `Findings.settle`), or
            all, reported (warn) or not looked for (off).

    Raises:
        ArgumentError: A setting is unknown.
    """
    check_settings(leakage, duplicates)
    start = time.perf_counter()
    texts = np.empty(0, dtype=np.int64)
    leaked: dict[int, Removal] = {}
    links: Links = {}
    stays = np.ones(len(pool), dtype=bool)
    if leakage != "off" or duplicates != "off":
        others = against if leakage != "off" else {}
        corpus = read_corpus(pool, *others.values())
        texts = corpus.texts[0]
        may_be = may_be_near(corpus, DUPLICATE_SHARE) if duplicates != "off" else none
        overlap = find_overlap(corpus, corpus.holds(0), in_tests(corpus), may_be)
        if leakage != "off":
            leaked = leaks(corpus, overlap, pool, others, LEAK_SHARE)
        if leakage == "remove":
            stays[list(leaked)] = False
        if duplicates != "off":
            among = np.zeros(len(corpus), dtype=bool)
            among[texts[stays]] = True
            links = find_links(corpus, overlap, among, may_be, DUPLICATE_SHARE)
    return Findings(
        pool,
        np.flatnonzero(stays),
        leakage,
        duplicates,
        leaked,
        texts,
        links,
        time.perf_counter() - start,
    )


def check_settings(leakage: str, duplicates: str) -> None:
    """Refuse settings that the guard does not have.

    Raises:
        ArgumentError: `leakage` or `duplicates` is unknown.
    """
    for name, value, known in (
        ("leakage", leakage, get_args(Leakage)),
        ("duplicates", duplicates, get_args(Duplicates)),
    ):
        if value not in known:
            raise ArgumentError(f"{name} {value!r} is unknown; choose from {', '.join(known)}.")
