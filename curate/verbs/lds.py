"""The verb `lds`: do scores foresee what recorded runs measured?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from airrep.disk.paths import user_path
from airrep.errors import ArgumentError
from airrep.machine.arguments import check_seed
from airrep.pooling import GROUP_POOLINGS, GroupPooling
from airrep.records import with_roles
from airrep.supervision import SubsetLosses
from curate.rows.io import OnBadRow
from curate.stages.inputs import Source, read_input
from curate.stages.own_scores import check_shape, own_scores
from curate.stages.recorded_model import recorded_model
from curate.stages.scorer_choice import check_scorer, make_scorer, uses
from eval_harness.measures.datamodeling import LdsResult, lds_of_scores
from selection.scorers.registry import ScorerName

if TYPE_CHECKING:
    from airrep.language_model.model import LanguageModel
    from curate.stages.own_scores import OwnArray
    from selection.scorers import Scorer
    from selection.scorers.embedding import Encoder
    from selection.scores import Scores

_EVALUATED = "evaluation row"


def lds(
    runs: str | Path,
    pool: Source,
    evaluation: Source,
    *,
    scorer: ScorerName | Sequence[ScorerName] | OwnArray | Scorer = "airrep",
    scores: str | Path | npt.NDArray[np.floating] | None = None,
    encoder: str | Path | Encoder | tuple[OwnArray, OwnArray] | None = None,
    model: str | Path | LanguageModel | None = None,
    pooling: GroupPooling = "attention",
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
        scorer: Whose scores: airrep, tfidf, bm25, random, rds, gradient, gradient_cosine or
            gradient_adam; or a list of several, [airrep, gradient], for the mean of their
            standardized scores.
        scores: Scores of your own, in place of a scorer: a .npy file (evaluation rows × pool rows)
            in the order of the rows; larger means that training on the row lowers the loss more.
        encoder: For the airrep scorer: a checkpoint directory or hub id; default the built-in one.
        model: Directory or hub id of the model that was fine-tuned, if it is not where it was; it
            has to be the same one.
        pooling: How the scores of a subset's rows become one number: attention, sum or mean.
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
        LDS with its interval and, if subsets were run twice or more, the noise ceiling.

    Raises:
        CurateError: One of its kinds (see `airrep.errors`), with what to do about it.

    Example:
        >>> import curate
        >>> pool, targets = curate.demo_pool(80), curate.demo_targets("email_reply", 2)
        >>> runs = curate.record(pool, targets, model_directory, "runs", subsets=3, size=4)
        >>> -1 <= curate.lds("runs", pool, targets, scorer="tfidf").mean <= 1
        True
    """
    if pooling not in GROUP_POOLINGS:
        raise ArgumentError(
            f"pooling {pooling!r} is unknown; choose from {', '.join(GROUP_POOLINGS)}."
        )
    if scores is not None and scorer != "airrep":
        raise ArgumentError(
            f"scores and scorer {getattr(scorer, 'name', scorer)!r} are both given; leave out one."
        )
    by_model = uses(scorer, "model")
    check_scorer(scorer, "given" if by_model else None)
    check_seed(seed)
    directory = user_path(runs, "runs")
    recorded = SubsetLosses.load(directory)
    examples = list(read_input(pool, "pool", with_roles(columns, roles), on_bad_row).examples)
    wanted = with_roles(columns if evaluation_columns is None else evaluation_columns, roles)
    held_out = list(read_input(evaluation, "evaluation", wanted, on_bad_row).examples)
    recorded.plan.check(examples, held_out)
    loaded = None
    if by_model or model is not None:
        loaded = recorded_model(directory, recorded, model)
    everyone = np.arange(len(held_out))
    positions = recorded.plan.roles.get("test", everyone)  # all, unless drawn with other roles
    if scores is not None:
        values: npt.NDArray[Any] | Scores = own_scores(
            scores, (len(held_out), len(examples)), _EVALUATED
        )[positions]
    else:
        scorer = make_scorer(
            scorer,
            encoder=encoder,
            model=loaded if by_model else None,
            seed=seed,
            progress=progress,
            rows=(held_out, examples),
        )
        values = scorer.score([held_out[i] for i in positions.tolist()], examples)
        check_shape(scorer.name, values.shape, (len(positions), len(examples)), _EVALUATED)
    return lds_of_scores(
        values,
        recorded.plan.subsets,
        recorded.values[:, :, positions],
        pooling,
        scale=scale,
        draws=draws,
        confidence=confidence,
        seed=seed,
    )
