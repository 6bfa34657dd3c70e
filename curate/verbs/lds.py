"""The verb `lds`: do scores foresee what recorded runs measured?"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from airrep.disk.paths import user_path
from airrep.errors import ArgumentError
from airrep.machine.arguments import check_seed
from airrep.machine.number_types import ModelDtype
from airrep.records import with_roles
from curate.rows.io import OnBadRow
from curate.stages.inputs import Source
from curate.stages.own_scores import check_shape, own_scores
from curate.stages.recorded_model import recorded_model
from curate.stages.runs_and_rows import read_lds_benchmark, read_runs
from curate.stages.scorer_choice import (
    announce_scoring,
    check_model_dtype,
    check_scorer,
    load_model,
    make_scorer,
    uses,
)
from eval_harness.measures.datamodeling import LdsResult, ScoringCost, lds_of_predictions
from eval_harness.measures.predictions import (
    LdsPooling,
    attention_scale,
    check_pooling,
    group_predictions,
)
from selection.scorers.base import bytes_per_row
from selection.scorers.registry import ScorerName

if TYPE_CHECKING:
    from airrep.language_model.model import LanguageModel
    from curate.stages.own_scores import OwnArray
    from selection.scorers import Scorer
    from selection.scorers.embedding import Encoder
    from selection.scores import Scores

_EVALUATED = "evaluation row"


def lds(
    runs: str | Path | None = None,
    pool: Source | None = None,
    evaluation: Source | None = None,
    *,
    benchmark: str | Path | None = None,
    scorer: ScorerName | Sequence[ScorerName] | OwnArray | Scorer = "airrep",
    scores: str | Path | npt.NDArray[np.floating] | None = None,
    encoder: str | Path | Encoder | tuple[OwnArray, OwnArray] | None = None,
    model: str | Path | LanguageModel | None = None,
    model_dtype: ModelDtype = "float32",
    pooling: LdsPooling = "attention",
    scale: float | None = None,
    draws: int = 1000,
    confidence: float = 0.95,
    columns: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    evaluation_columns: Mapping[str, str] | None = None,
    on_bad_row: OnBadRow = "error",
    seed: int = 0,
    progress: bool = False,
) -> LdsResult:
    """Compare scores with recorded runs: their linear datamodeling score (LDS).

    Args:
        runs: Directory that `record` wrote.
        pool: The rows that were trained on; as they were given to `record`.
        evaluation: The rows whose losses were measured; as they were given to `record`.
        benchmark: In place of runs, pool and evaluation: recorded runs in the files of AirRep's
            authors (train.jsonl, test.jsonl and lds.jsonl), by their directory, or by the id of a
            data set on the Hugging Face hub and the folder in it, owner/name/folder.
        scorer: Whose scores: airrep, tfidf, bm25, random, rds, gradient, gradient_cosine,
            gradient_adam or nudge; or a list of several, [airrep, gradient], for the mean of their
            standardized scores.
        scores: Scores of your own, in place of a scorer: a .npy file (evaluation rows × pool rows)
            in the order of the rows; larger means that training on the row lowers the loss more.
        encoder: For the airrep scorer: a checkpoint directory or hub id; default the built-in one.
        model: Directory, GGUF file or hub id of the model that was fine-tuned, if it is not where
            it was; it has to be the same one. A benchmark does not say which it was.
        model_dtype: Number type that its weights are held in while it scores; see `select`.
        pooling: How the scores of a subset's rows become one number: attention, sum or mean;
            or signed_attention, the softmax of the scores and not of their sizes, as the evaluation
            script of AirRep's authors has it.
        scale: Inverse temperature of the attention; default the scorer's own, 1 for own scores.
        draws: Bootstrap resamples for the interval; 0 for none.
        confidence: Confidence of the interval.
        columns: Which field of a pool row is what; as for `record`.
        roles: Names of speakers in conversations to what they are; see `select`.
        evaluation_columns: The same for the evaluation rows; default as for the pool.
        on_bad_row: What to do with a row that cannot be read: error, or skip; as for `record`.
        seed: Seed of the resampling, the random scorer and the projections of gradients.
        progress: Show a progress bar.

    Returns:
        LDS with its interval, the cost of the scores and, if subsets were run twice or more, the
        noise ceiling.

    Raises:
        CurateError: One of its kinds (see `airrep.errors`), with what to do about it.

    Example:
        >>> import curate
        >>> pool, targets = curate.demo_pool(80), curate.demo_targets("email_reply", 2)
        >>> runs = curate.record(pool, targets, model_directory, "runs", subsets=3, size=4)
        >>> -1 <= curate.lds("runs", pool, targets, scorer="tfidf").mean <= 1
        True
    """
    check_pooling(pooling)
    if scores is not None and scorer != "airrep":
        raise ArgumentError(
            f"scores and scorer {getattr(scorer, 'name', scorer)!r} are both given; leave out one."
        )
    by_model = uses(scorer, "model")
    check_scorer(
        scorer, "given" if by_model and benchmark is None else model if benchmark else None
    )
    check_model_dtype(scorer, model, model_dtype)
    check_seed(seed)
    wanted = with_roles(columns, roles)
    asked = wanted if evaluation_columns is None else with_roles(evaluation_columns, roles)
    loaded = None
    if benchmark is not None:
        if any(each is not None for each in (runs, pool, evaluation)):
            raise ArgumentError(
                "benchmark has runs, pool and evaluation of its own; leave those out, or leave out "
                "benchmark."
            )
        measured = read_lds_benchmark(benchmark, wanted, asked, on_bad_row)
        if model is not None:
            loaded = load_model(model)
    elif runs is None or pool is None or evaluation is None:
        raise ArgumentError(
            "expected runs, pool and evaluation (--runs, --pool, --evaluation), or a benchmark "
            "(--benchmark), which has all three."
        )
    else:
        measured = read_runs(runs, pool, evaluation, wanted, asked, on_bad_row)
        if by_model or model is not None:
            loaded = recorded_model(user_path(runs, "runs"), measured.recorded, model)
    if loaded is not None and model_dtype != "float32":
        loaded = loaded.held_in(model_dtype)  # only now: runs know their model in float32
    everyone = np.arange(len(measured.evaluation))
    plan = measured.recorded.plan
    positions = plan.roles.get("test", everyone)  # all, unless drawn with other roles
    if scores is not None:
        shape = len(measured.evaluation), len(measured.pool)
        values: npt.NDArray[Any] | Scores = own_scores(scores, shape, _EVALUATED)[positions]
        predictions, cost = group_predictions(values, plan.subsets, pooling, scale), None
    else:
        made = make_scorer(
            scorer,
            encoder=encoder,
            model=loaded if by_model else None,
            seed=seed,
            progress=progress,
            rows=(measured.evaluation, measured.pool),
        )
        tested = [measured.evaluation[i] for i in positions.tolist()]
        announce_scoring(scorer, made.name, len(measured.pool), len(tested), shown=progress)
        began = time.perf_counter()
        values = made.score(tested, measured.pool)
        check_shape(made.name, values.shape, (len(tested), len(measured.pool)), _EVALUATED)
        predictions = group_predictions(values, plan.subsets, pooling, scale)
        seconds = time.perf_counter() - began
        cost = ScoringCost(seconds, len(tested) + len(measured.pool), bytes_per_row(made))
    losses = measured.recorded.values[:, :, positions]
    found = lds_of_predictions(predictions, losses, draws=draws, confidence=confidence, seed=seed)
    used = attention_scale(values, scale) if pooling.endswith("attention") else None
    return replace(found, pooling=pooling, scale=used, cost=cost)
