"""The methods that are compared, by name: how a row's help for a target is scored."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from airrep.disk.locks import locked
from airrep.disk.parts import discard, kept_in
from airrep.encoder import AirRep
from airrep.errors import ArgumentError
from airrep.language_model.model import LanguageModel
from airrep.records import Example, ids_of
from airrep.supervision import example_digests
from airrep.template import text_fingerprint
from eval_harness.files.array_file import read_array, write_array
from selection.scorers import EmbeddingScorer, ScoreAverage, Scorer
from selection.scorers.base import bytes_per_row, described
from selection.scorers.registry import SCORERS
from selection.scores import DenseScores, Embeddings, Scores

_NO_MATTER = (
    "model",
    "known",
    "store",
    "progress",
    "tokens_per_batch",
)  # fields that change no score


@dataclass(frozen=True)
class SameSource:
    """The oracle that knows where rows come from: 1 for the target's own source, else 0."""

    name = "same_source"

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> Scores:
        """See `Scorer.score`."""
        own = np.array([e.source for e in targets])[:, None] == [e.source for e in pool]
        return DenseScores(own, **described(self, targets, pool))


@dataclass(frozen=True)
class Method:
    """A scorer, and what identifies its scores."""

    name: str
    scorer: Scorer
    identity: str

    @property
    def bytes_per_row(self) -> int | None:
        """Bytes of a pool row's features; None of a method that keeps none."""
        return bytes_per_row(self.scorer)


def make_method(
    name: str,
    options: Mapping[str, Any],
    model: LanguageModel,
    others: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    progress: bool = False,
) -> Method:
    """A method by its name in a config.

    Names: random, tfidf, bm25, airrep (option `encoder`), rds, rds_completion, gradient and
    gradient_cosine (options of `GradientScorer`), gradient_adam (of `AdamGradientScorer`),
    nudge (of `NudgeScorer`), same_source; and "a+b" for the mean of two
    methods' standardized scores, with the options that they have in `others`, the config's methods.
    An option `kind` says what a name of your own stands for. With `progress`, scorers that can show
    a progress bar do.

    Raises:
        ArgumentError: An unknown method, or options it does not have.
    """
    kind = str(options.get("kind", name))
    given = {key: value for key, value in options.items() if key != "kind"}
    try:
        scorer = _make(kind, given, model, others or {})
    except TypeError as error:
        raise ArgumentError(f"methods.{name}: {error}.") from error
    identity = f"{kind} {_identity(scorer, model)}"
    return Method(name, _showing(scorer) if progress else scorer, identity)


def _showing(scorer: Scorer) -> Scorer:
    """The same scorer with progress bars, if it can show any."""
    if isinstance(scorer, ScoreAverage):
        return ScoreAverage([_showing(part) for part in scorer.scorers])
    if isinstance(scorer, EmbeddingScorer):
        return replace(scorer, options={**scorer.options, "progress": True})
    if is_dataclass(scorer) and hasattr(scorer, "progress"):
        return replace(scorer, progress=True)
    return scorer


def _make(
    kind: str,
    options: Mapping[str, Any],
    model: LanguageModel,
    others: Mapping[str, Mapping[str, Any]],
) -> Scorer:
    if kind == "same_source":
        return SameSource(**options)
    if kind in ("rds", "rds_completion"):
        tokens = "all" if kind == "rds" else "completion"
        return SCORERS["rds"].make(model, tokens=tokens, **options)
    if kind in SCORERS and SCORERS[kind].needs == "encoder":
        encoder = _only(options, "encoder")
        loaded = AirRep.default() if encoder is None else AirRep.from_pretrained(encoder)
        return SCORERS[kind].make(loaded)
    if kind in SCORERS:
        return SCORERS[kind].make(*[model] * (SCORERS[kind].needs == "model"), **options)
    if "+" in kind:
        _only(options)
        parts = []
        for part in kind.split("+"):
            known = dict(others.get(part, {}))
            parts.append(_make(str(known.pop("kind", part)), known, model, others))
        return ScoreAverage(parts)
    raise ArgumentError(
        f"method {kind!r} is unknown; choose from {', '.join(SCORERS)}, rds_completion, "
        "same_source, or a+b for the average of two."
    )


def _only(options: Mapping[str, Any], known: str = "") -> Any:  # noqa: ANN401
    """The value of the one option there is, None without it.

    Raises:
        TypeError: There are others.
    """
    others = sorted(set(options) - {known})
    if others:
        raise TypeError(f"unknown option {others[0]!r}; there is {known or 'none'}")
    return options.get(known)


def _identity(scorer: Scorer, model: LanguageModel) -> str:
    """What a scorer's scores depend on, defaults included."""
    if isinstance(scorer, ScoreAverage):
        parts = "; ".join(_identity(part, model) for part in scorer.scorers)
        return f"mean of standardized scores: {parts}"
    if isinstance(scorer, EmbeddingScorer) and isinstance(scorer.encoder, AirRep):
        return f"{scorer.name} {scorer.encoder.fingerprint}"
    assert is_dataclass(scorer)
    options = {f.name: getattr(scorer, f.name) for f in fields(scorer) if f.name not in _NO_MATTER}
    if options.get("modules", "") is None:
        del options["modules"]  # all layers, as before there was a choice
    return f"{type(scorer).__name__} {options} {model.fingerprint}"


class ScoreFiles:
    """Scores computed once and kept in files, shared by all processes on a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(
        self,
        method: Method,
        targets: Sequence[Example],
        pool: Sequence[Example],
        *,
        embeddings: bool = False,
    ) -> tuple[DenseScores, dict[str, Any]]:
        """The method's scores (targets, pool), and what they cost when they were computed.

        With `embeddings`, of the rows that the scores are inner products of as well, if they are.

        Cost: `seconds`, wall-clock, for features and scores of all, on a machine that may have been
        busy with other work; `rows`, pool rows and targets together.
        """
        key = text_fingerprint(
            f"{method.identity} {_digest(targets)} {_digest(pool)} {[e.source for e in targets]}"
        ).hex()
        file = self._directory / f"{key[:24]}.npy"
        with locked(file.with_suffix(".lock")):
            beside = file.with_suffix(".embeddings.npy")
            if not file.exists() or (embeddings and not beside.exists()):
                self._compute(method, targets, pool, file, beside if embeddings else None)
            values, facts = read_array(file)  # of one writer, as the two files are under the lock
            rows: Any = read_array(beside)[0] if embeddings else ()
        made_of = Embeddings(rows[: len(targets)], rows[len(targets) :]) if len(rows) else None
        return DenseScores(
            values,
            target_ids=ids_of(targets),
            pool_ids=ids_of(pool),
            method=method.name,
            scale=float(facts["scale"]),
            embeddings=made_of,
        ), facts

    def _compute(
        self,
        method: Method,
        targets: Sequence[Example],
        pool: Sequence[Example],
        file: Path,
        beside: Path | None,
    ) -> None:
        start = time.perf_counter()
        with kept_in(file.parent, file.stem):
            scores = method.scorer.score(targets, pool)
        values = scores.values()
        if beside is not None:  # first: who finds the scores takes for granted that they are there
            parts = () if scores.embeddings is None else (rows[:] for rows in scores.embeddings)
            kept = [np.asarray(rows, dtype=np.float32) for rows in parts]
            write_array(beside, np.concatenate(kept) if kept else np.empty((0, 0)), {})
        facts = {
            "method": method.name,
            "seconds": time.perf_counter() - start,
            "rows": len(targets) + len(pool),
            "bytes_per_row": method.bytes_per_row,
            "scale": scores.scale,
        }
        write_array(file, values, facts)
        discard(file.parent, file.stem)


def _digest(examples: Sequence[Example]) -> str:
    return text_fingerprint(example_digests(examples).tobytes().hex()).hex()
