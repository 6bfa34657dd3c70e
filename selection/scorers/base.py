"""The interface of a scorer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from airrep.console.wording import named
from airrep.records import Example, ids_of
from selection.scores import Provenance, Scores

if TYPE_CHECKING:
    from airrep.language_model.model import LanguageModel

_FLOAT = 4  # bytes


class Scorer(Protocol):
    """Targets and pool to scores; it may declare `ScorerCapabilities` by attributes."""

    @property
    def name(self) -> str:
        """What reports and manifests call it."""
        ...

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> Scores:
        """Score every pool row for every target.

        Returns:
            (targets, pool); larger means that training on the row lowers the target's loss more.
            A scorer with an encoder or a model says so in their `provenance`.
        """
        ...


def bytes_per_row(scorer: Scorer) -> int | None:
    """Bytes of a pool row's features as float32; None of a scorer that keeps none."""
    parts = getattr(scorer, "scorers", [scorer])  # of an average
    return sum(_FLOAT * (getattr(part, "dim", None) or 0) for part in parts) or None


def described(
    scorer: Scorer,
    targets: Sequence[Example],
    pool: Sequence[Example],
    scale: float = 1.0,
    provenance: Provenance = (),
) -> dict[str, Any]:
    """What a scorer's scores say beside their values; the keywords of their constructors."""
    return {
        "target_ids": ids_of(targets),
        "pool_ids": ids_of(pool),
        "method": scorer.name,
        "scale": scale,
        "provenance": provenance,
    }


def read_with(
    scorer: str, name: str, fingerprint: str, dtype: str, **counts: int | dict[str, float]
) -> list[dict[str, Any]]:
    """What a manifest says of the encoder or the language model that a scorer read the rows with.

    Args:
        scorer: Name of the scorer.
        name: Name of the encoder or the model; of an absolute path the last part is kept.
        fingerprint: Its fingerprint: equal for equal scores.
        dtype: What it computes in.
        counts: Pool rows that it `encoded`, that were `reused` from a store, and those of the
            encoded ones that had `changed`, known there with another text; of an encoder also the
            share of tokens `unknown` to it, of pool and of targets.
    """
    record = {"scorer": scorer, "name": named(name), "fingerprint": fingerprint, "dtype": dtype}
    return [{**record, "encoded": 0, "reused": 0, "changed": 0, **counts}]


def read_by_model(
    scorer: str, model: LanguageModel, dtype: str, pool: Sequence[Example], **counts: int
) -> list[dict[str, Any]]:
    """The same of a language model that read every pool row.

    Gradients have counts of their own: the `rank` or `width` of a layer's, and all `features`.
    """
    from airrep.language_model.passes import computed_in  # here, because they bring torch
    from airrep.language_model.weights import held_in

    used, held = computed_in(model, dtype), held_in(model.network)
    if held != "float32":
        used = f"{used}, weights in {held}"
    return read_with(
        scorer, model.name, model.fingerprint, used, **{"encoded": len(pool), **counts}
    )
