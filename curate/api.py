"""The verbs: `select` and `embed`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from airrep.atomic import check_writable
from airrep.errors import ArgumentError
from airrep.processes import rank, wait_for_everyone
from airrep.records import Example
from airrep.store import EmbeddingStore, FingerprintedEncoder, StoredEmbeddings
from curate.io import OnBadRow, Rows, read_rows
from curate.manifest import InputRecord, Manifest, fingerprint
from curate.scorer_choice import (
    ScorerName,
    check_scorer,
    load_encoder,
    make_scorer,
    scores_and_encoders,
)
from curate.training_set import FileFormat, TrainingSet, check_format
from selection.candidates import shortlist
from selection.result import Selection
from selection.selectors import SelectorName, make_selector
from selection.selectors.base import check_k
from selection.weights import target_weights

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset, IterableDataset

    from airrep.encoder import AirRep
    from airrep.language_model import LanguageModel
    from selection.scorers import Scorer
    from selection.scorers.embedding import Encoder
    from selection.scores import ScoreMatrix
    from selection.selectors import Selector

Source: TypeAlias = (
    "str | Path | Sequence[Mapping[str, Any] | str | Path] | Dataset | IterableDataset"
    " | pd.DataFrame"
)

_PATHS = ("pool", "targets", "encoder", "model", "store")  # arguments that can be one
# A larger score matrix is not built: the selector then sees each target's best rows only.
MATRIX_BYTES = 2 << 30


def select(
    pool: Source,
    targets: Source,
    k: int = 1000,
    *,
    scorer: ScorerName | Sequence[ScorerName] | Scorer = "airrep",
    selector: SelectorName | Selector = "layered_greedy",
    encoder: str | Path | Encoder | None = None,
    model: str | Path | LanguageModel | None = None,
    scale: float | None = None,
    weights: Sequence[float] | None = None,
    columns: Mapping[str, str] | None = None,
    target_columns: Mapping[str, str] | None = None,
    on_bad_row: OnBadRow = "error",
    store: str | Path | None = None,
    output: str | Path | None = None,
    format: FileFormat = "parquet",  # noqa: A002 (the field's own word)
    tokens_per_batch: int = 4096,
    seed: int = 0,
    progress: bool = False,
) -> TrainingSet:
    """Choose the k pool rows that help most with the targets.

    Args:
        pool: Rows to choose from: a path (.jsonl, .json, .csv, .parquet), a glob, a hub dataset
            ("owner/name", "owner/name/config:split"), a Dataset, a data frame, or a list.
        targets: A few examples of what the model should be good at; anything `pool` can be.
        k: How many rows to choose; at most the size of the pool.
        scorer: How a row's help for a target is predicted: airrep, tfidf, bm25, random, or, by the
            language model's own states and gradients, rds, gradient or gradient_cosine. A list of
            several, [airrep, gradient], takes the mean of their standardised scores.
        selector: How scores become a set: layered_greedy, plain_greedy, coverage, round_robin,
            top_k_max, top_k_mean or random.
        encoder: For the airrep scorer: a checkpoint directory or hub id; default the built-in one.
        model: For the scorers rds, gradient and gradient_cosine: directory or hub id of the causal
            language model that will be fine-tuned, as it is before that.
        scale: For the greedy and coverage selectors: inverse temperature of the pooling; default
            the scorer's own.
        weights: How much each target counts; default all the same.
        columns: Which field of a pool row is what, where that is not obvious: roles prompt and
            completion, or messages, or text; also source and id.
        target_columns: The same for the targets; default as for the pool.
        on_bad_row: What to do with a row that cannot be read: error, or skip (and report it).
        store: Directory that keeps the pool's embeddings for the next run; default
            OUTPUT/embeddings if there is an output, else none.
        output: Directory to write the training set and its manifest to.
        format: Of the written files: parquet or jsonl.
        tokens_per_batch: Tokens encoded at once; bounds memory, does not change the result.
        seed: Of the random scorer and selector, and of the projections of gradients.
        progress: Show progress bars.

    Returns:
        The chosen rows, best first, with what each one is in for.

    Raises:
        CurateError: One of its kinds (see `airrep.errors`), with what to do about it.
    """
    arguments = _replayable(locals())
    seconds: dict[str, float] = {}
    if isinstance(selector, str):
        selector = make_selector(selector, scale=scale, seed=seed)
    check_format(format)
    check_scorer(scorer, model)
    if output is not None:
        check_writable(Path(output))
    with _timed(seconds, "read"):
        pool_input = _read(pool, "pool", columns, on_bad_row)
        wanted = columns if target_columns is None else target_columns
        target_input = _read(targets, "targets", wanted, on_bad_row)
        examples, target_examples = pool_input.examples, target_input.examples
        check_k(k, len(examples))
        target_weights(weights, len(target_examples))
    with _timed(seconds, "score"):
        place = Path(output) / "embeddings" if output and not store else store
        scorer = make_scorer(
            scorer, encoder=encoder, model=model, store=place, seed=seed,
            tokens_per_batch=tokens_per_batch, progress=progress,
        )  # fmt: skip
        scores, encoders = scores_and_encoders(scorer, target_examples, examples)
    with _timed(seconds, "select"):
        chosen = _choose(selector, scores, k, weights)
    manifest = Manifest(
        arguments=arguments,
        inputs={"pool": pool_input.record, "targets": target_input.record},
        encoders=encoders,
        chosen={
            "scorer": scores.method,
            "selector": chosen.method,
            "scale": scores.scale if scale is None else scale,
            "rows": len(chosen),
            "layers": int(chosen.layers[-1]) + 1,
            "shortlist": chosen.shortlist,
            "fingerprint": fingerprint(examples[i] for i in chosen.indices.tolist()),
        },
        seconds=seconds,
    )
    result = TrainingSet(
        chosen, examples, target_examples, manifest, pool_input.rows.dataset, columns
    )
    if output is not None and rank() == 0:
        result.save(output, format=format)
    wait_for_everyone()
    return result


def embed(
    pool: Source,
    store: str | Path,
    *,
    encoder: str | Path | AirRep | None = None,
    columns: Mapping[str, str] | None = None,
    on_bad_row: OnBadRow = "error",
    tokens_per_batch: int = 4096,
    progress: bool = False,
) -> StoredEmbeddings:
    """Encode a pool into a store, where later selections find it. Only new rows are encoded.

    Args:
        pool: Rows to encode; anything that `select` takes.
        store: Directory of the store; created, resumed or added to.
        encoder: A checkpoint directory or hub id; default the built-in one.
        columns: Which field is what, where that is not obvious; see `select`.
        on_bad_row: What to do with a row that cannot be read: error, or skip.
        tokens_per_batch: Tokens encoded at once; bounds memory, does not change the result.
        progress: Show a progress bar.

    Returns:
        The embeddings of the pool's rows, read from disk as needed; how many were reused, encoded
        and changed.

    Raises:
        CurateError: One of its kinds (see `airrep.errors`), with what to do about it.
    """
    examples = _read(pool, "pool", columns, on_bad_row).examples
    loaded = load_encoder(encoder)
    if not isinstance(loaded, FingerprintedEncoder):
        raise ArgumentError(f"a store needs an AirRep encoder, found {type(loaded).__name__}.")
    return EmbeddingStore(store).embed(
        examples, loaded, tokens_per_batch=tokens_per_batch, progress=progress
    )


@dataclass(frozen=True)
class _Input:
    rows: Rows
    examples: list[Example]
    record: InputRecord


def _read(
    given: Source, name: str, columns: Mapping[str, str] | None, on_bad_row: OnBadRow
) -> _Input:
    rows = read_rows(given, name)
    examples, skipped = rows.examples(columns, on_bad_row)
    record = InputRecord(rows.name, len(rows.dataset), fingerprint(examples), skipped)
    return _Input(rows, examples, record)


def _choose(
    selector: Selector, scores: ScoreMatrix, k: int, weights: Sequence[float] | None
) -> Selection:
    targets, pool = scores.shape
    if not selector.needs_matrix or 4 * targets * pool <= MATRIX_BYTES:
        return selector.select(scores, k, weights=weights)
    rows = shortlist(scores, k)
    return selector.select(scores.columns(rows), k, weights=weights).relocated(rows)


def _replayable(call: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that a config file can hold; paths made absolute, objects left out."""
    arguments: dict[str, Any] = {}
    for name, value in call.items():
        if name in ("output", "progress"):
            continue
        if name in _PATHS and isinstance(value, str | Path) and Path(value).exists():
            arguments[name] = str(Path(value).resolve())
        elif isinstance(value, str | int | float | None):
            arguments[name] = value
        elif name == "scorer" and isinstance(value, Sequence):
            arguments[name] = list(value)
        elif name in ("columns", "target_columns"):
            arguments[name] = dict(value)
        elif name == "weights":
            arguments[name] = [float(weight) for weight in value]
    return arguments


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - start, 3)
