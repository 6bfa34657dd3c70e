"""The verb `select`: a pool and targets in, a training set out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airrep.disk.parts import discard, kept_in
from airrep.disk.paths import user_path
from airrep.engines import EngineName, started
from airrep.errors import ArgumentError
from airrep.machine.arguments import check_seed
from airrep.machine.processes import rank, wait_for_everyone
from curate.guard import Duplicates, Leakage, check_settings
from curate.manifest.arguments import replayable
from curate.manifest.provenance import Manifest, fingerprint, run_of
from curate.rows.io import OnBadRow
from curate.stages.choosing import DEFAULT_K, AtMost, Candidates, at_hand, memory_of
from curate.stages.constraint_binding import bind
from curate.stages.destination import check_apart, check_directory, check_run
from curate.stages.engine_choice import check_engine_for
from curate.stages.inputs import Source, read_inputs
from curate.stages.pool_guard import PoolGuard
from curate.stages.scorer_choice import (
    ScorerName,
    check_scorer,
    make_scorer,
    scores_and_encoders,
    uses_model,
)
from curate.training_set import FileFormat, TrainingSet, check_columns, check_format
from selection.constraints import Constraints, standings
from selection.overview import overview
from selection.selectors import (
    SelectorName,
    check_selector,
    check_sizes_itself,
    default_selector,
    make_selector,
)
from selection.selectors.base import AUTO, Size, check_k
from selection.weights import target_weights

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from airrep.language_model.model import LanguageModel
    from airrep.records import Example
    from selection.constraints import BoundConstraints
    from selection.scorers import Scorer
    from selection.scorers.embedding import Encoder
    from selection.selectors import Selector

PARTS = "scoring"  # what files of parts are called, in the output directory


def select(
    pool: Source,
    targets: Source,
    k: Size | None = None,
    *,
    test: Source | None = None,
    scorer: ScorerName | Sequence[ScorerName] | Scorer = "airrep",
    selector: SelectorName | Selector | None = None,
    encoder: str | Path | Encoder | None = None,
    model: str | Path | LanguageModel | None = None,
    scale: float | None = None,
    weights: Sequence[float] | None = None,
    constraints: Constraints | Mapping[str, Any] | None = None,
    leakage: Leakage = "remove",
    duplicates: Duplicates = "first",
    columns: Mapping[str, str] | None = None,
    target_columns: Mapping[str, str] | None = None,
    on_bad_row: OnBadRow = "error",
    store: str | Path | None = None,
    output: str | Path | None = None,
    format: FileFormat = "parquet",  # noqa: A002 (the field's own word)
    overwrite: bool = False,
    tokens_per_batch: int = 4096,
    memory_limit: str | int | None = None,
    engine: EngineName = "local",
    seed: int = 0,
    progress: bool = False,
) -> TrainingSet:
    """Choose the k pool rows that help most with the targets.

    Args:
        pool: Rows to choose from: a path (.jsonl, .json, .csv, .parquet), a glob, a hub dataset
            ("owner/name", "owner/name/config:split"), a Dataset, a data frame, or a list.
        targets: A few examples of what the model should be good at; anything `pool` can be.
        k: How many rows to choose, at most what the guard leaves of the pool; default 1000, or all
            of them where there are fewer; or,
            under a token budget, as many as it holds. "auto": as many as the selector's objective
            asks for (docs/report.md), without constraints.
        test: What the model will be tested on; anything `pool` can be, read like the targets. Rows
            are not chosen for it: those that give it away are leaks.
        scorer: How a row's help for a target is predicted: airrep, tfidf, bm25, random, or, by the
            language model's own states and gradients, rds, gradient, gradient_cosine or
            gradient_adam. A list of several, [airrep, gradient], takes the mean of their
            standardised scores.
        selector: How scores become a set: herding, layered_greedy, plain_greedy, coverage,
            round_robin, top_k_max, top_k_mean or random. Default: herding for an encoder's scores
            (airrep) of up to 100,000 rows, unless a scale is given; else layered_greedy.
        encoder: For the airrep scorer: a checkpoint directory or hub id; default the built-in one.
        model: Directory or hub id of the causal language model that will be fine-tuned, as it is
            before that; for rds and the gradient scorers, and for a token budget.
        scale: For the greedy and coverage selectors: inverse temperature of the pooling; default
            the scorer's own.
        weights: How much each target counts; default all the same.
        constraints: What the selection has to keep to: max_tokens, max_per_source, min_per_source,
            min_per_target, include, exclude (see `Constraints` and docs/constraints.md).
        leakage: What to do with pool rows in which a target or a test row stands, verbatim or
            lightly edited: remove, warn (keep and report them) or off (docs/guard.md).
        duplicates: Which of several near-duplicates in the pool stays: the first, the best-scored,
            or all of them: warn (and report them) or off.
        columns: Which field of a pool row is what, where that is not obvious: roles prompt and
            completion, or messages, or text; also source and id.
        target_columns: The same for the targets; default as for the pool.
        on_bad_row: What to do with a row that cannot be read: error, or skip (and report it).
        store: Directory that keeps the pool's embeddings for the next run; default
            OUTPUT/embeddings if there is an output, else none.
        output: Directory to write the training set and its manifest to.
        format: Format of the written files: parquet or jsonl.
        overwrite: Replace the selection of another run that the output directory holds, and its
            reports; by default that is refused. The same run may always be repeated.
        tokens_per_batch: Padded tokens encoded at once on a GPU, where it bounds memory; it changes
            nothing on a CPU.
        memory_limit: Bytes, or "4GB": what scores and selection may take beside the pool and its
            embeddings; default 4 GiB. Where the scores do not fit, layered_greedy certifies that
            its result is the same (docs/scale.md).
        engine: Who encodes the pool and looks at its scores; the result is the same. local: this
            process, and those that accelerate launch or torchrun started with it. accelerate: the
            same, but an error if it is alone. ray: a Ray cluster, whose workers write and read the
            store (docs/scale.md).
        seed: Seed of the random scorer and selector, and of the projections of gradients.
        progress: Show progress bars.

    Returns:
        The chosen rows, best first, with what each one is in for.

    Raises:
        CurateError: One of its kinds (see `airrep.errors`), with what to do about it.
    """
    arguments = replayable(locals())
    seconds: dict[str, float] = {}
    chooser = (
        make_selector(selector, scale=scale, seed=seed) if isinstance(selector, str) else selector
    )
    asked = None if constraints is None else Constraints.of(constraints)
    budget = asked is not None and asked.max_tokens is not None
    k = AtMost(DEFAULT_K) if k is None and not budget else k
    number = None if k == AUTO or isinstance(k, AtMost) else k
    _check_size(k, asked, chooser)
    check_format(format)
    memory = memory_of(memory_limit)
    check_seed(seed)
    check_settings(leakage, duplicates)
    check_scorer(scorer, model, counts_tokens=budget)
    output = None if output is None else user_path(output, "output")
    store = None if store is None else user_path(store, "store")
    place = output / "embeddings" if output is not None and store is None else store
    check_engine_for(engine, scorer, encoder, place)
    given = {"pool": pool, "targets": targets, "test": test, "encoder": encoder, "model": model}
    if store is not None:
        check_apart(store, given)
    if output is not None:
        check_apart(output, given)
        check_directory(output, format)
    with _timed(seconds, "read"):
        inputs = read_inputs(pool, targets, test, columns, target_columns, on_bad_row)
        check_columns(inputs.pool.rows.dataset.column_names, "pool")
        examples = inputs.pool.examples
        if number is not None:
            check_k(number, len(examples))
        share = target_weights(weights, len(inputs.targets))
    ours = {"scorer": scorer, "selector": selector, "encoder": encoder, "model": model}
    objects = {n: each for n, each in ours.items() if each is not None and n not in arguments}
    if output is not None:
        run = run_of("select", arguments, inputs.records)
        check_run(output, run, objects, overwrite=overwrite)
        wait_for_everyone()  # before one of several processes has written its result
    with _timed(seconds, "guard"):
        guard = PoolGuard(examples, inputs.against, leakage, duplicates)
        _check_left(number, guard)
    with started(engine) as workers:
        with _timed(seconds, "score"):
            made = make_scorer(
                scorer,
                encoder=encoder,
                model=model if uses_model(scorer) else None,
                store=place,
                seed=seed,
                tokens_per_batch=tokens_per_batch,
                progress=progress,
                engine=workers,
            )
            if chooser is None:
                arguments["selector"] = name = default_selector(made, len(guard.to_score), scale)
                chooser = make_selector(name, scale=scale, seed=seed)
                if output is not None:
                    run = run_of("select", arguments, inputs.records)
                    check_run(output, run, objects, overwrite=overwrite)
            check_selector(chooser, made)
            _check_size(k, asked, chooser)
            with kept_in(output, PARTS):
                scores, encoders = scores_and_encoders(made, inputs.targets, guard.to_score)
        with _timed(seconds, "select"):
            kept, scores = guard.settled(scores)
            _check_left(number, guard)
            bound = None if asked is None else bind(asked, examples, kept, model)
            default = k if isinstance(k, AtMost) else None
            if default is not None:
                k = number = _there(default, kept.rows, bound, share, inputs.targets)
            scores = at_hand(chooser, scores, memory)
            candidates = Candidates.of(scores, k, chooser, weights, bound, memory)
            chosen = candidates.choose(chooser, k, weights)
        with _timed(seconds, "overview"):
            seen = overview(scores, chosen.indices)
    manifest = Manifest(
        arguments=arguments,
        inputs=inputs.records,
        encoders=encoders,
        guard=kept.report.counts,
        chosen={
            "scorer": scores.method,
            "selector": chosen.method,
            "scale": scores.scale if scale is None else scale,
            "rows": len(chosen),
            "layers": int(chosen.layers[-1]) + 1,
            "objective": None if chosen.objective is None else chosen.objective.stated,
            "best_size": chosen.best_size,
            "fewer_than": None if default is None or number == default else int(default),
            "shortlist": chosen.shortlist,
            "certificate": None if chosen.certificate is None else chosen.certificate.to_dict(),
            "constraints": [] if bound is None else standings(bound, chosen, number, share),
            "fingerprint": fingerprint(kept.rows[i] for i in chosen.indices.tolist()),
        },
        seconds=seconds,
    )
    result = TrainingSet(
        chosen,
        kept.rows,
        inputs.targets,
        kept.report,
        manifest,
        seen,
        inputs.pool.rows.dataset,
        columns,
    )
    if output is not None and rank() == 0:
        result.save(output, format=format, overwrite=True)  # as was found before the work
        discard(output, PARTS)
    wait_for_everyone()
    return result


def _check_size(k: Size | None, asked: Constraints | None, selector: Selector | None) -> None:
    """Refuse k = "auto" where nothing says how many rows that is; None is a selector not known yet.

    Raises:
        ArgumentError: There are constraints, or the selector has no objective that says so.
    """
    if k != AUTO:
        return
    if asked is not None:
        raise ArgumentError(
            "k = 'auto' and constraints do not go together: where the objective is best, a quota "
            "need not be met. Give k as a number, or leave the constraints out."
        )
    if selector is not None:
        check_sizes_itself(selector)


def _there(
    k: int,
    rows: Sequence[Example],
    bound: BoundConstraints | None,
    share: npt.NDArray[np.float64],
    targets: Sequence[Example],
) -> int:
    """As many rows as there are to choose, up to k; if none, one, for a message."""
    there = min(k, len(rows))
    if bound is not None:
        there = bound.room(there, share, [target.id for target in targets])
    return max(there, 1)


def _check_left(k: int | None, guard: PoolGuard) -> None:
    """Refuse a k that the guard has left too few rows for."""
    left, taken = len(guard.to_score), guard.taken
    if not left:
        raise ArgumentError(
            f"the guard removed every row of the pool ({taken}); add other rows, or keep these."
        )
    if taken and k is not None and k > left:
        raise ArgumentError(
            f"k = {k} is larger than the pool of {left:,} that the guard left ({taken}); lower k, "
            "add rows, or keep them."
        )


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - start, 3)
