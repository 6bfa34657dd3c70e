"""Capabilities that scorers and selectors declare, by attributes that all have defaults."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self


@dataclass(frozen=True)
class _Capabilities:
    @classmethod
    def of(cls, given: object) -> Self:
        """What a scorer or selector declares, with the default of what it does not.

        Example:
            >>> SelectorCapabilities.of(object()).needs_matrix
            True
        """
        return cls(**{each.name: getattr(given, each.name, each.default) for each in fields(cls)})


@dataclass(frozen=True)
class ScorerCapabilities(_Capabilities):
    """What a scorer's scores can be used for.

    Attributes:
        signed: A score below 0 means that training on the row raises the target's loss.
        embeds: The scores are inner products of embeddings. It is refused before the rows are
            scored only if the scorer says that it is not so.
        selector: Name of the selector that chooses best from these scores.
    """

    signed: bool = False
    embeds: bool = True
    selector: str = "layered_greedy"


@dataclass(frozen=True)
class SelectorCapabilities(_Capabilities):
    """What a selector needs of the scores, and what it can do.

    Attributes:
        needs_matrix: `select` holds the whole score matrix in memory; where it does not fit, the
            selector sees a shortlist of the pool.
        needs_embeddings: It compares the embeddings that the scores are inner products of.
        keeps_constraints: `select` has an argument `constraints`, and keeps to them.
        certifiable: Its selection can be certified where the matrix does not fit, because it is
            the layered greedy's.
    """

    needs_matrix: bool = True
    needs_embeddings: bool = False
    keeps_constraints: bool = False
    certifiable: bool = False
