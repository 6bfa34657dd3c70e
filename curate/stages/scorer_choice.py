"""The scorer that names stand for, with what it needs; nothing is loaded before it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from airrep.console.progress import announce
from airrep.console.wording import counted
from airrep.disk.paths import user_path
from airrep.engines import Engine
from airrep.errors import ArgumentError
from airrep.machine.number_types import ModelDtype
from airrep.store import EmbeddingStore, FingerprintedEncoder
from curate.stages.own_scores import (
    OwnArray,
    OwnEmbeddings,
    OwnScores,
    Rows,
    check_there,
    embedding_pair,
    is_own,
)
from selection import scorers
from selection.scorers.registry import SCORERS

if TYPE_CHECKING:
    from airrep.language_model.model import LanguageModel
    from selection.scorers import Scorer
    from selection.scorers.embedding import Encoder


ScorerChoice: TypeAlias = "str | Sequence[str] | OwnArray | Scorer"
EncoderChoice: TypeAlias = "str | Path | Encoder | tuple[OwnArray, OwnArray]"


def make_scorer(
    scorer: ScorerChoice,
    *,
    encoder: EncoderChoice | None = None,
    model: str | Path | LanguageModel | None = None,
    model_dtype: ModelDtype = "float32",
    store: str | Path | None = None,
    gradient_store: str | Path | None = None,
    modules: str | Sequence[str] | None = None,
    seed: int = 0,
    tokens_per_batch: int = 4096,
    progress: bool = False,
    engine: Engine | None = None,
    rows: Rows | None = None,
) -> Scorer:
    """Make a scorer.

    Args:
        scorer: One of `ScorerName`; scores of one's own, an array or a .npy file; several names or
            files, for the mean of their standardized scores; or a scorer, which comes back as it
            is.
        encoder: For airrep: directory, hub id or encoder, or embeddings of one's own, those of the
            targets and those of the pool; default the built-in encoder.
        model: For rds, the gradient scorers and nudge: the language model that will be fine-tuned.
        model_dtype: Number type that its weights are held in.
        store: For airrep: where the pool's embeddings are kept.
        gradient_store: For gradient and gradient_cosine: where the pool's gradients are kept; of
            one scorer among several, in a directory beside it that is named after both.
        modules: For the gradient scorers: globs of the layers' names; None takes all.
        seed: Seed of the random scorer, and of gradients' projections.
        tokens_per_batch: Padded tokens at once in an encoder or a model on a GPU.
        progress: Show a progress bar for the pool.
        engine: For airrep: who does the work; see `EmbeddingScorer`.
        rows: The targets and the pool rows that scores or embeddings of one's own are of; see
            `OwnScores`.

    Raises:
        ArgumentError: A name is unknown, or the model is missing or of no use.
        MissingInputError: No such encoder or model.
        CheckpointError: It cannot be loaded, or does not fit the scorer.
    """
    check_scorer(scorer, model)
    names = _names(scorer)
    if names is None:
        return cast("Scorer", scorer)
    models = [n for n in names if isinstance(n, str) and n in SCORERS and uses(n, "model")]
    if models and model is not None and rows is not None:
        from curate.stages.scoring_memory import check_scoring_memory  # brings torch

        check_scoring_memory(models, model, model_dtype, chain(*rows), progress=progress)
    loaded = None if model is None else load_model(model, dtype=model_dtype)  # once for all
    batches: dict[str, Any] = {"tokens_per_batch": tokens_per_batch, "progress": progress}

    def made(name: Any) -> Scorer:  # noqa: ANN401 (a name or scores of one's own)
        if is_own(name):
            return OwnScores(name, rows)
        if SCORERS[name].needs == "encoder":
            if len(names) == 1 and encoder is None and store is None and rows is not None:
                from curate.stages.words_instead import words_instead  # brings scikit-learn

                if other := words_instead(load_encoder(None), *rows):
                    return other
            return _embedding_scorer(encoder, store, batches, engine, rows)
        needed = [loaded] if SCORERS[name].needs == "model" else []
        common = {"seed": seed, "modules": modules, **batches}
        if gradient_store is not None:
            own = gradient_store if len(names) == 1 else f"{gradient_store}-{name}"
            common["store"] = EmbeddingStore(own)
        return SCORERS[name].make(*needed, common=common)

    parts = [made(name) for name in names]
    return parts[0] if len(parts) == 1 else scorers.ScoreAverage(parts)


def announce_scoring(
    scorer: ScorerChoice, name: str, rows: int, targets: int, *, shown: bool
) -> None:
    """Say how much is scored, before it is, where each row takes a pass through a language model.

    Args:
        scorer: See `make_scorer`.
        name: What the scorer is called.
        rows: How many pool rows there are.
        targets: How many targets there are.
        shown: Whether anything is shown at all.
    """
    scored = counted(rows, "row"), counted(targets, "target")
    announce("score", *scored, f"by {name}", shown=shown and uses(scorer, "model"))


def _embedding_scorer(
    encoder: EncoderChoice | None,
    store: str | Path | None,
    batches: dict[str, Any],
    engine: Engine | None,
    rows: Rows | None,
) -> Scorer:
    if pair := embedding_pair(encoder):
        return OwnEmbeddings(*pair, rows)
    loaded = load_encoder(cast("str | Path | Encoder | None", encoder))
    if not isinstance(loaded, FingerprintedEncoder):  # another library's, with options of its own
        return scorers.EmbeddingScorer(loaded, name=type(loaded).__name__)
    place = None if store is None else EmbeddingStore(store)
    return scorers.EmbeddingScorer(loaded, place, options=batches, engine=engine)


def check_scorer(
    scorer: ScorerChoice, model: object | None, *, counts_tokens: bool = False
) -> None:
    """Refuse an unknown scorer, a missing model, and one that would not be looked at.

    Args:
        scorer: See `make_scorer`.
        model: See `make_scorer`.
        counts_tokens: Whether the model is needed apart from the scorer, for a token budget.

    Raises:
        ArgumentError: One of these.
        MissingInputError: There is no file of this name.
    """
    names = _names(scorer)
    if names is None:
        if not callable(getattr(scorer, "score", None)):
            raise ArgumentError(
                "scorer should be a name, a list of names, scores (an array or a .npy file) or an "
                f"object with a score method, found {type(scorer).__name__}."
            )
        return
    if not names:
        raise ArgumentError(f"scorer: the list is empty; choose from {', '.join(SCORERS)}.")
    for name in names:
        if is_own(name) and (name is scorer or not isinstance(name, np.ndarray)):
            check_there(name, "scorer")
        else:
            _check_name(name, model)
    for name in names:
        if names.count(name) > 1:
            raise ArgumentError(
                f"scorer: {name!r} is in the list {names.count(name)} times; each scorer has "
                "the same weight. Name it once."
            )
    if model is not None and not counts_tokens and not uses(scorer, "model"):
        called = " + ".join("own scores" if isinstance(n, np.ndarray) else str(n) for n in names)
        raise ArgumentError(
            f"scorer {called!r} does not look at the language model that will be "
            f"fine-tuned, and there is no token budget to count; leave out model, or choose one of "
            f"{', '.join(name for name in SCORERS if uses(name, 'model'))}."
        )


def check_model_dtype(scorer: ScorerChoice, model: object | None, model_dtype: str) -> None:
    """Refuse a number type that no model is loaded in.

    Raises:
        ArgumentError: No scorer looks at a model, or it is loaded already.
    """
    if model_dtype == "float32":
        return
    if not uses(scorer, "model"):
        raise ArgumentError(
            f"model_dtype {model_dtype!r} says what a model's weights are held in, and this scorer "
            "looks at none. Leave model_dtype out, or choose rds, gradient or gradient_cosine."
        )
    if model is not None and not isinstance(model, str | Path):
        raise ArgumentError(
            f"model_dtype {model_dtype!r}: the model is loaded already; say it there: "
            f"LanguageModel.from_pretrained(..., dtype={model_dtype!r})."
        )


def _check_name(name: object, model: object | None) -> None:
    if not isinstance(name, str):
        raise ArgumentError(
            f"scorer: expected a list of names, found {type(name).__name__} in it; average "
            "scorers of your own with selection.scorers.ScoreAverage([...])."
        )
    if name not in SCORERS:
        raise ArgumentError(
            f"scorer {name!r} is unknown; choose from {', '.join(SCORERS)}, or give a list of "
            "several for the mean of their standardized scores."
        )
    if SCORERS[name].needs == "model" and model is None:
        raise ArgumentError(
            f"scorer {name!r} needs the language model that will be fine-tuned: model=... "
            "(--model ...)."
        )


def uses(scorer: ScorerChoice, needed: str) -> bool:
    """Whether one of the names needs the "model" that will be fine-tuned, or an "encoder"."""
    return any(
        isinstance(name, str) and name in SCORERS and SCORERS[name].needs == needed
        for name in _names(scorer) or ()
    )


def takes_modules(scorer: ScorerChoice) -> bool:
    """Whether one of the names looks at gradients of single layers."""
    return any(isinstance(n, str) and n.startswith("gradient") for n in _names(scorer) or ())


def _names(scorer: ScorerChoice) -> list[Any] | None:
    """Names, and scores of one's own; None for an object that scores."""
    if isinstance(scorer, str) or is_own(scorer):
        return [scorer]
    return list(scorer) if isinstance(scorer, Sequence) else None


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
