"""The scorer that a name stands for, with what it needs; nothing is loaded before it is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

from airrep.errors import ArgumentError
from airrep.store import EmbeddingStore, FingerprintedEncoder, StoredEmbeddings
from selection import scorers

if TYPE_CHECKING:
    from airrep.language_model import LanguageModel
    from selection.scorers import Scorer
    from selection.scorers.embedding import Encoder
    from selection.scores import ScoreMatrix

ScorerName = Literal["airrep", "tfidf", "bm25", "random", "rds", "gradient", "gradient_cosine"]
MODEL_SCORERS = ("rds", "gradient", "gradient_cosine")


@runtime_checkable
class _Fingerprinted(Protocol):
    """A `LanguageModel`, known without importing it."""

    name: str
    fingerprint: str
    network: Any


def make_scorer(
    name: str,
    *,
    encoder: str | Path | Encoder | None = None,
    model: str | Path | LanguageModel | None = None,
    store: str | Path | None = None,
    seed: int = 0,
    tokens_per_batch: int = 4096,
    progress: bool = False,
) -> Scorer:
    """Make a scorer.

    Args:
        name: One of `ScorerName`.
        encoder: For airrep: directory, hub id or encoder; default the built-in one.
        model: For rds, gradient and gradient_cosine: the language model that will be fine-tuned.
        store: For airrep: where the pool's embeddings are kept.
        seed: Of the random scorer, and of gradients' projections.
        tokens_per_batch: Tokens at once in an encoder or a model.
        progress: Show a progress bar for the pool.

    Raises:
        ArgumentError: The name is unknown, or the model is missing or of no use.
        MissingInputError: No such encoder or model.
        CheckpointError: It cannot be loaded, or does not fit the scorer.
    """
    check_scorer(name, model)
    match name:
        case "airrep":
            loaded = load_encoder(encoder)
            if not isinstance(loaded, FingerprintedEncoder):  # another library's, with own options
                return scorers.EmbeddingScorer(loaded, name=type(loaded).__name__)
            place = None if store is None else EmbeddingStore(store)
            options = {"tokens_per_batch": tokens_per_batch, "progress": progress}
            return scorers.EmbeddingScorer(loaded, place, options=options)
        case "tfidf":
            return scorers.TfidfScorer()
        case "bm25":
            return scorers.Bm25Scorer()
        case "random":
            return scorers.RandomScorer(seed)
    assert model is not None
    language_model = load_model(model)
    settings: dict[str, Any] = {"tokens_per_batch": tokens_per_batch, "progress": progress}
    if name == "rds":
        return scorers.RdsScorer(language_model, **settings)
    if name == "gradient_cosine":
        settings["preconditioner"] = "none"
    return scorers.GradientScorer(language_model, seed=seed, **settings)


def check_scorer(name: str, model: object | None) -> None:
    """Refuse an unknown scorer, a missing model, and one that would not be looked at.

    Raises:
        ArgumentError: One of these.
    """
    if name not in get_args(ScorerName):
        raise ArgumentError(
            f"scorer {name!r} is unknown; choose from {', '.join(get_args(ScorerName))}."
        )
    if name in MODEL_SCORERS and model is None:
        raise ArgumentError(
            f"scorer {name!r} needs the language model that will be fine-tuned: model=... "
            "(--model ...)."
        )
    if name not in MODEL_SCORERS and model is not None:
        raise ArgumentError(
            f"scorer {name!r} does not look at the language model that will be fine-tuned; leave "
            f"out model, or choose one of {', '.join(MODEL_SCORERS)}."
        )


def load_encoder(encoder: str | Path | Encoder | None) -> Encoder:
    """The encoder that a name stands for, the built-in one for None; others as they are."""
    from airrep.encoder import AirRep  # here, because it brings torch

    if encoder is None:
        return AirRep.default()
    if isinstance(encoder, str | Path):
        return AirRep.from_pretrained(encoder)
    return encoder


def load_model(model: str | Path | LanguageModel, **options: Any) -> LanguageModel:  # noqa: ANN401
    """The language model that a name stands for, with `LanguageModel.from_pretrained`'s options."""
    from airrep.language_model import LanguageModel  # here, because it brings torch

    if isinstance(model, str | Path):
        return LanguageModel.from_pretrained(model, **options)
    return model


def encoder_record(scorer: Scorer, scores: ScoreMatrix) -> dict[str, Any]:
    """For manifests: the encoder or language model that made the scores; {} without one."""
    rows = scores.embeddings[1] if scores.embeddings else None
    stored = rows if isinstance(rows, StoredEmbeddings) else None
    record = {
        "encoded": stored.encoded if stored else scores.shape[1],
        "reused": stored.reused if stored else 0,
        "changed": stored.changed if stored else 0,
    }
    if isinstance(scorer, scorers.EmbeddingScorer):
        if not isinstance(scorer.encoder, FingerprintedEncoder):
            return {}
        encoder = scorer.encoder
        name, fingerprint, precision = encoder.name, encoder.fingerprint, encoder.precision
    else:
        model = getattr(scorer, "model", None)
        if not isinstance(model, _Fingerprinted):
            return {}
        from airrep.hardware import fastest_dtype  # it is there already: the model brought torch

        name, fingerprint, precision = model.name, model.fingerprint, getattr(scorer, "dtype", "")
        if precision == "auto":
            precision = str(fastest_dtype(model.network.device)).removeprefix("torch.")
    return {"name": name, "fingerprint": fingerprint, "dtype": precision, **record}
