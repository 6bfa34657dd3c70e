"""The verb that looks for what hurts: `harmful`, the rows that raise the targets' loss.

It is `select` with another selector, on scores whose sign means something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from airrep.errors import ArgumentError
from airrep.machine.number_types import ModelDtype
from curate.guard import Duplicates, Leakage
from curate.rows.io import OnBadRow
from curate.selection_run import SelectionRun
from curate.stages.inputs import Source
from curate.stages.requests import (
    ChoiceRequest,
    GuardRequest,
    InputRequest,
    OutputRequest,
    ScoringRequest,
    SelectionRequest,
)
from curate.training_set import TrainingSet
from curate.writing.file_format import FileFormat
from selection.capabilities import ScorerCapabilities
from selection.scorers.registry import SCORERS, ScorerName
from selection.selectors.lowest_mean import LowestMean

if TYPE_CHECKING:
    from airrep.language_model.model import LanguageModel
    from curate.stages.own_scores import OwnArray
    from selection.scorers import Scorer

# What `select` asks for besides.
_NOT_ASKED = (
    "encoder",
    "selector",
    "scale",
    "constraints",
    "memory_limit",
    "default_k",
    "rescore",
    "rescore_rows",
)
DEFAULT_K = 100


def harmful(
    pool: Source,
    targets: Source,
    k: int | None = None,
    *,
    test: Source | None = None,
    scorer: ScorerName | Sequence[ScorerName] | OwnArray | Scorer = "gradient",
    model: str | Path | LanguageModel | None = None,
    model_dtype: ModelDtype = "float32",
    weights: Sequence[float] | None = None,
    leakage: Leakage = "remove",
    duplicates: Duplicates = "first",
    columns: Mapping[str, str] | None = None,
    target_columns: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    on_bad_row: OnBadRow = "error",
    store: str | Path | None = None,
    modules: str | Sequence[str] | None = None,
    output: str | Path | None = None,
    format: FileFormat = "parquet",  # noqa: A002 (the field's own word)
    overwrite: bool = False,
    tokens_per_batch: int = 4096,
    seed: int = 0,
    progress: bool = False,
) -> TrainingSet:
    """Find up to k pool rows that hurt the targets most: wrong labels, misleading answers.

    Influence is signed: training on a row of positive influence is expected to lower a target's
    loss, on one of negative influence to raise it. Rows come by their mean influence over the
    targets, the lowest first, and only if it is below 0. docs/harm.md says how far to trust it.

    Args:
        pool: Rows to look through; anything that `select` takes.
        targets: A few examples of what the model should be good at, whose answers are right.
        k: How many rows at most, and no more than the guard leaves of the pool; default 100, or
            all of them if there are fewer. Rows whose mean influence is 0 or above are no part of
            the result, so that it may be smaller.
        test: What the model will be tested on; rows that give it away are leaks, as in `select`.
        scorer: How a row's influence on a target is predicted: gradient, gradient_cosine,
            gradient_adam or nudge, whose sign says whether a row helps or hurts. Others compare
            texts, and are refused. A scorer of your own has to have an attribute `signed` that is
            True. Scores of your own, an array or a .npy file, are taken to be signed; see `select`.
        model: Directory, GGUF file or hub id of the causal language model whose gradients or losses
            are taken; the scorers need it. Better one that has been fine-tuned on the pool
            (docs/harm.md).
        model_dtype: Number type that its weights are held in while it scores; see `select`.
        weights: How much each target counts; default all the same.
        leakage: See `select`; rows that are removed are not looked at.
        duplicates: See `select`; copies that are removed hurt like the row that stays.
        columns: Which field of a pool row is what, where that is not obvious; see `select`.
        target_columns: The same for the targets; default as for the pool.
        roles: Names of speakers in conversations to what they are: system, user, assistant or tool;
            where a name is not known (docs/rows.md).
        on_bad_row: What to do with a row that cannot be read: error, or skip (and report it).
        store: Directory that keeps the pool's gradients for the next run; see `select`.
        modules: Only layers of these names; see `select`.
        output: Directory to write the rows and their manifest to.
        format: Format of the written files: parquet or jsonl; or of train.jsonl, for trainers
            other than TRL's: openai, sharegpt or alpaca (docs/rows.md).
        overwrite: Replace the result of another run that the output directory holds; see `select`.
        tokens_per_batch: Padded tokens at once in the model on a GPU, where it bounds memory.
        seed: Seed of the projections of gradients.
        progress: Show progress bars.

    Returns:
        The rows that hurt, worst first: `curate_gain` is a row's mean influence, `curate_target`
        the target that it hurts most. They are there to be looked at, mended or left out.

    Raises:
        ArgumentError: An argument cannot be right, the scorer is not signed, or no row hurts.
        CurateError: Another of its kinds (see `airrep.errors`), with what to do about it.

    Example:
        >>> import curate
        >>> pool, targets = curate.demo_pool(80), curate.demo_targets("email_reply", 2)
        >>> found = curate.harmful(pool[:8], targets, 2, model=model_directory)
        >>> bool((found.selection.gains < 0).all())  # the mean influence of each row
        True
    """
    _check_signed(scorer)
    return SelectionRun(
        SelectionRequest(
            verb="harmful",
            inputs=InputRequest(pool, targets, test, columns, target_columns, roles, on_bad_row),
            guard=GuardRequest(leakage, duplicates),
            scoring=ScoringRequest(
                scorer,
                None,
                model,
                store,
                modules,
                tokens_per_batch,
                seed=seed,
                progress=progress,
                model_dtype=model_dtype,
            ),
            choice=ChoiceRequest(
                k, LowestMean(only_negative=True), weights=weights, seed=seed, default_k=DEFAULT_K
            ),
            output=OutputRequest(output, format, overwrite),
            added=_NOT_ASKED,
        )
    ).result()


def _check_signed(scorer: object) -> None:
    """Refuse scores whose sign does not tell help from harm.

    Raises:
        ArgumentError: They come from such a scorer.
    """
    names = [scorer] if isinstance(scorer, str) else scorer
    choose = f"choose {' or '.join(name for name, each in SCORERS.items() if not each.unsigned)}"
    if not isinstance(names, Sequence):
        if callable(getattr(scorer, "score", None)) and not ScorerCapabilities.of(scorer).signed:
            raise ArgumentError(
                f"scorer {getattr(scorer, 'name', type(scorer).__name__)!r} does not say that its "
                "scores are signed: set its attribute signed = True if a score below 0 means that "
                "training on the row raises the target's loss."
            )
        return
    for name in names:
        why = SCORERS[name].unsigned if name in SCORERS else ""
        if why:
            raise ArgumentError(f"scorer {name!r} cannot find what hurts: {why}; {choose}.")
    if len(names) > 1:
        raise ArgumentError(
            "several scorers cannot find what hurts: in the mean of their standardized scores 0 "
            f"is the average pool row, and below 0 a row may still help; {choose}."
        )
