"""The verb `select`: a pool and targets in, a training set out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airrep.engines import EngineName
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
from selection.constraints import Constraints
from selection.scorers.registry import ScorerName
from selection.selectors import SelectorName
from selection.selectors.base import Size

if TYPE_CHECKING:
    from airrep.language_model.model import LanguageModel
    from curate.stages.own_scores import OwnArray
    from selection.scorers import Scorer
    from selection.scorers.embedding import Encoder
    from selection.selectors import Selector


def select(
    pool: Source,
    targets: Source,
    k: Size | None = None,
    *,
    test: Source | None = None,
    scorer: ScorerName | Sequence[ScorerName] | OwnArray | Scorer = "airrep",
    selector: SelectorName | Selector | None = None,
    encoder: str | Path | Encoder | tuple[OwnArray, OwnArray] | None = None,
    rescore: ScorerName | Sequence[ScorerName] | OwnArray | Scorer | None = None,
    rescore_rows: int | None = None,
    model: str | Path | LanguageModel | None = None,
    model_dtype: ModelDtype = "float32",
    scale: float | None = None,
    weights: Sequence[float] | None = None,
    constraints: Constraints | Mapping[str, Any] | None = None,
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
    memory_limit: str | int | None = None,
    engine: EngineName = "local",
    seed: int = 0,
    progress: bool = False,
) -> TrainingSet:
    """Choose the k pool rows that help most with the targets.

    Args:
        pool: Rows to choose from: a path (.jsonl, .json, .csv, .tsv, .parquet), a glob, a list of
            these, a hub dataset ("owner/name", "owner/name/config:split"), a Dataset, a data frame,
            an Arrow table, a list of rows, or a mixture {"name": any of these}.
        targets: A few examples of what the model should be good at; anything `pool` can be.
        k: How many rows to choose, at most what the guard leaves of the pool; default 1000, or all
            of them where there are fewer; or,
            under a token budget, as many as it holds. "auto": as many as the selector's objective
            asks for (docs/report.md), without constraints.
        test: What the model will be tested on; anything `pool` can be, read like the targets. Rows
            are not chosen for it: those that give it away are leaks.
        scorer: How a row's help for a target is predicted: airrep, tfidf, bm25, random, or, by the
            language model's own states, gradients and losses, rds, gradient, gradient_cosine,
            gradient_adam or nudge. Or scores of your own: an array, or the name of a .npy file
            (targets × pool rows, in the order of the rows; larger helps more). A list of several,
            [airrep, gradient], takes the mean of their standardized scores.
        selector: How scores become a set: herding, layered_greedy, plain_greedy, coverage,
            round_robin, top_k_max, top_k_mean or random. Default: herding for an encoder's scores
            (airrep) of up to 100,000 rows, unless a scale is given; else layered_greedy.
        encoder: For the airrep scorer: a checkpoint directory or hub id; default the built-in one.
            Or embeddings of your own, a pair of arrays or .npy files: of the targets, of the pool.
        rescore: A second scorer, one that costs more: it looks at the rows alone that scorer
            proposes, each target's best in turn, and by its scores the rows are chosen.
        rescore_rows: How many rows it looks at; default ten for each row that is chosen.
        model: Directory, GGUF file or hub id of the causal language model that will be fine-tuned,
            as it is before that; for rds, the gradient scorers and nudge, and for a token budget.
        model_dtype: Number type that the model's weights are held in while it scores: float32,
            bfloat16 (2 bytes a weight), or, of the layers in the blocks, int8 or int4 (1.1 or 0.6
            bytes), which gradient_adam and nudge do not take (docs/large-models.md).
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
        roles: Names of speakers in conversations to what they are: system, user, assistant or tool;
            where a name is not known (docs/rows.md).
        on_bad_row: What to do with a row that cannot be read: error, or skip (and report it).
        store: Directory that keeps the pool's embeddings for the next run; default
            OUTPUT/embeddings if there is an output, else none. With the scorer gradient or
            gradient_cosine, it keeps the pool's projected gradients, if it is named.
        modules: For the gradient scorers: only layers of the model whose names match one of these
            globs, such as "*.mlp.*"; default all linear layers of its blocks.
        output: Directory to write the training set and its manifest to.
        format: Format of the written files: parquet or jsonl; or of train.jsonl, for trainers
            other than TRL's: openai, sharegpt or alpaca (docs/rows.md).
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

    Example:
        >>> import curate
        >>> pool, targets = curate.demo_pool(80), curate.demo_targets("email_reply", 2)
        >>> chosen = curate.select(pool, targets, k=10, scorer="tfidf", output="chosen")
        >>> len(chosen), chosen[0]["curate_rank"]
        (10, 0)
    """
    return SelectionRun(
        SelectionRequest(
            verb="select",
            inputs=InputRequest(pool, targets, test, columns, target_columns, roles, on_bad_row),
            guard=GuardRequest(leakage, duplicates),
            scoring=ScoringRequest(
                scorer,
                encoder,
                model,
                store,
                modules,
                tokens_per_batch,
                seed=seed,
                progress=progress,
                model_dtype=model_dtype,
                rescore=rescore,
                rescore_rows=rescore_rows,
            ),
            choice=ChoiceRequest(k, selector, scale, weights, constraints, memory_limit, seed),
            output=OutputRequest(output, format, overwrite),
            engine=engine,
            added=("default_k",),
        )
    ).result()
