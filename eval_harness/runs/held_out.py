"""Rows that are kept apart: no row, word for word, is on both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from airrep.errors import ArgumentError
from airrep.records import Example
from airrep.supervision import example_digests


def check_disjoint(files: Mapping[str, Sequence[Example]]) -> None:
    """Refuse a row that is, word for word, in two of the files.

    Args:
        files: Name to examples.

    Raises:
        ArgumentError: Names the first such row.
    """
    places = {
        name: {digest.tobytes(): i for i, digest in enumerate(example_digests(examples))}
        for name, examples in files.items()
    }
    for other, name in combinations(files, 2):
        for digest, i in places[name].items():
            if digest in places[other]:
                here, there = files[name][i], files[other][places[other][digest]]
                raise ArgumentError(
                    f"{name} row {here.row} (id {here.id!r}) is also {other} row {there.row} (id "
                    f"{there.id!r}); remove it from one of them."
                )


def hold_out(
    examples: Sequence[Example], shares: Sequence[float], key: Sequence[int]
) -> list[list[Example]]:
    """Deal examples at random: what is left, then a part for each share.

    Examples that are alike, word for word, stay together. Parts are in the examples' order.

    Args:
        examples: What to deal.
        shares: Shares of the different examples; they sum to less than 1.
        key: Name of the draw; another name draws other rows.
    """
    digests = [digest.tobytes() for digest in example_digests(examples)]
    different = list(dict.fromkeys(digests))
    order = np.random.default_rng(list(key)).permutation(len(different)).tolist()
    bounds = np.cumsum([round(share * len(different)) for share in shares])
    places = np.searchsorted(bounds, np.arange(len(order)), side="right")
    numbers = ((places + 1) % (len(shares) + 1)).tolist()  # past the last bound: what is left
    part_of = {different[i]: number for i, number in zip(order, numbers, strict=True)}
    parts: list[list[Example]] = [[] for _ in range(len(shares) + 1)]
    for example, digest in zip(examples, digests, strict=True):
        parts[part_of[digest]].append(example)
    return parts
