"""Validation of the engine for a request, before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from airrep.engines import check_engine
from airrep.errors import ArgumentError
from airrep.store import FingerprintedEncoder
from curate.stages.scorer_choice import EncoderChoice, ScorerChoice, uses

if TYPE_CHECKING:
    pass


def check_engine_for(
    engine: str, scorer: ScorerChoice, encoder: EncoderChoice | None, store: str | Path | None
) -> None:
    """Refuse an engine that is unknown or not there, or has nothing to do or nowhere to write.

    Args:
        engine: An `EngineName`.
        scorer: See `curate.select`.
        encoder: See `curate.select`.
        store: Where the pool's embeddings will be kept, if anywhere.

    Raises:
        ArgumentError: One of these.
    """
    check_engine(engine)
    if engine != "ray":
        return
    if not uses(scorer, "encoder"):
        raise ArgumentError(
            "engine 'ray' encodes and compares embeddings, for the scorer airrep, and this one has "
            "none. Leave engine out, or choose airrep."
        )
    if not isinstance(encoder, str | Path | FingerprintedEncoder | None):
        raise ArgumentError(
            f"engine 'ray' needs an AirRep encoder, found {type(encoder).__name__}."
        )
    if store is None:
        raise ArgumentError(
            "engine 'ray' has its workers write the pool's embeddings and read them again: name a "
            "directory that all machines see, store=... (--store ...), or an output."
        )
