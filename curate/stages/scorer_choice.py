"""The scorer that names stand for, with what it needs; nothing is loaded before it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airrep.disk.paths import user_path
from airrep.engines import Engine
from airrep.errors import ArgumentError
from airrep.store import EmbeddingStore, FingerprintedEncoder
from selection import scorers
from selection.scorers.registry import SCORERS

if TYPE_CHECKING:
    from airrep.language_model.model import LanguageModel
    from selection.scorers import Scorer
    from selection.scorers.embedding import Encoder


def make_scorer(
    scorer: str | Sequence[str] | Scorer,
    *,
    encoder: str | Path | Encoder | None = None,
    model: str | Path | LanguageModel | None = None,
    store: str | Path | None = None,
    seed: int = 0,
    tokens_per_batch: int = 4096,
    progress: bool = False,
    engine: Engine | None = None,
) -> Scorer:
    """Make a scorer.

    Args:
        scorer: One of `ScorerName`; several, for the mean of their standardised scores; or a
            scorer, which comes back as it is.
        encoder: For airrep: directory, hub id or encoder; default the built-in one.
        model: For rds and the gradient scorers: the language model that will be fine-tuned.
        store: For airrep: where the pool's embeddings are kept.
        seed: Seed of the random scorer, and of gradients' projections.
        tokens_per_batch: Padded tokens at once in an encoder or a model on a GPU.
        progress: Show a progress bar for the pool.
        engine: For airrep: who does the work; see `EmbeddingScorer`.

    Raises:
        ArgumentError: A name is unknown, or the model is missing or of no use.
        MissingInputError: No such encoder or model.
        CheckpointError: It cannot be loaded, or does not fit the scorer.
    """
    check_scorer(scorer, model)
    if not isinstance(scorer, str | Sequence):
        return scorer
    loaded = None if model is None else load_model(model)  # once for all
    batches: dict[str, Any] = {"tokens_per_batch": tokens_per_batch, "progress": progress}
    made = [
        _embedding_scorer(encoder, store, batches, engine)
        if SCORERS[name].needs == "encoder"
        else SCORERS[name].make(
            *[loaded] * (SCORERS[name].needs == "model"), common={"seed": seed, **batches}
        )
        for name in _names(scorer)
    ]
    return made[0] if len(made) == 1 else scorers.ScoreAverage(made)


def _embedding_scorer(
    encoder: str | Path | Encoder | None,
    store: str | Path | None,
    batches: dict[str, Any],
    engine: Engine | None,
) -> Scorer:
    loaded = load_encoder(encoder)
    if not isinstance(loaded, FingerprintedEncoder):  # another library's, with options of its own
        return scorers.EmbeddingScorer(loaded, name=type(loaded).__name__)
    place = None if store is None else EmbeddingStore(store)
    return scorers.EmbeddingScorer(loaded, place, options=batches, engine=engine)


def check_scorer(
    scorer: str | Sequence[str] | Scorer, model: object | None, *, counts_tokens: bool = False
) -> None:
    """Refuse an unknown scorer, a missing model, and one that would not be looked at.

    Args:
        scorer: See `make_scorer`.
        model: See `make_scorer`.
        counts_tokens: Whether the model is needed apart from the scorer, for a token budget.

    Raises:
        ArgumentError: One of these.
    """
    if not isinstance(scorer, str | Sequence):
        if not callable(getattr(scorer, "score", None)):
            raise ArgumentError(
                "scorer should be a name, a list of names or an object with a score method, found "
                f"{type(scorer).__name__}."
            )
        return
    known, names = ", ".join(SCORERS), _names(scorer)
    if not names:
        raise ArgumentError(f"scorer: the list is empty; choose from {known}.")
    for name in names:
        if not isinstance(name, str):
            raise ArgumentError(
                f"scorer: expected a list of names, found {type(name).__name__} in it; average "
                "scorers of your own with selection.scorers.ScoreAverage([...])."
            )
        if name not in SCORERS:
            raise ArgumentError(
                f"scorer {name!r} is unknown; choose from {known}, or give a list of "
                "several for the mean of their standardised scores."
            )
        if names.count(name) > 1:
            raise ArgumentError(
                f"scorer: {name!r} is in the list {names.count(name)} times; each scorer has "
                "the same weight. Name it once."
            )
        if SCORERS[name].needs == "model" and model is None:
            raise ArgumentError(
                f"scorer {name!r} needs the language model that will be fine-tuned: model=... "
                "(--model ...)."
            )
    if model is not None and not counts_tokens and not uses(scorer, "model"):
        raise ArgumentError(
            f"scorer {' + '.join(names)!r} does not look at the language model that will be "
            f"fine-tuned, and there is no token budget to count; leave out model, or choose one of "
            f"{', '.join(name for name in SCORERS if uses(name, 'model'))}."
        )


def uses(scorer: str | Sequence[str] | Scorer, needed: str) -> bool:
    """Whether one of the names needs the "model" that will be fine-tuned, or an "encoder"."""
    return isinstance(scorer, str | Sequence) and any(
        name in SCORERS and SCORERS[name].needs == needed for name in _names(scorer)
    )


def _names(scorer: str | Sequence[str]) -> list[str]:
    return [scorer] if isinstance(scorer, str) else list(scorer)


def load_encoder(encoder: str | Path | Encoder | None) -> Encoder:
    """The encoder that a name stands for, the built-in one for None; others as they are.

    Raises:
        ArgumentError: It is neither a name nor an object that encodes.
    """
    from airrep.encoder import AirRep  # here, because it brings torch

    if encoder is None:
        return AirRep.default()
    if isinstance(encoder, str | Path):
        user_path(encoder, "encoder")
        return AirRep.from_pretrained(encoder)
    if not callable(getattr(encoder, "encode", None)):
        raise ArgumentError(
            "encoder: expected a directory, a hub id or an object with a method encode(texts), "
            f"found {type(encoder).__name__}."
        )
    return encoder


def load_model(model: str | Path | LanguageModel, **options: Any) -> LanguageModel:  # noqa: ANN401
    """The language model that a name stands for, with `LanguageModel.from_pretrained`'s options."""
    from airrep.language_model.model import LanguageModel  # here, because it brings torch

    if isinstance(model, str | Path):
        user_path(model, "model")
        return LanguageModel.from_pretrained(model, **options)
    return model
