"""The rows of a training: what is learned from, and what is held out before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from airrep.console.wording import counted
from airrep.errors import ArgumentError
from airrep.records import Example
from airrep.supervision import SubsetPlan
from eval_harness.benchmark.attribution import Attribution
from eval_harness.benchmark.config import AttributionSizes
from eval_harness.encoder_training.config import EncoderTrainingConfig
from eval_harness.runs.held_out import check_disjoint, hold_out
from eval_harness.runs.splits import Split, draw_splits

FILES = ("pool", "targets", "evaluation.pool", "evaluation.targets", "evaluation.test")


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """All rows, by what they are for."""

    pool: Sequence[Example]  # to train on
    targets: Sequence[Example]  # whose losses are learned from
    held_out: Sequence[Example]  # that the subsets of the evaluation are of
    validation: Sequence[Example]  # that decide when training stops
    test: Sequence[Example]  # that figures are reported on


def share_out_rows(
    files: Mapping[str, Sequence[Example]], config: EncoderTrainingConfig
) -> TrainingRows:
    """Hold out what has no file of its own.

    Args:
        files: Some of `FILES`, "pool" and "targets" at least.
        config: Its `evaluation.share` and `seed` decide.

    Raises:
        ArgumentError: A row is in two of the files, or there are too few rows for the evaluation.
    """
    check_disjoint(files)
    share, seed = config.evaluation.share, config.seed
    missing = [name for name in FILES[3:] if name not in files]
    pool, *held_out = hold_out(
        files["pool"], [] if "evaluation.pool" in files else [share], [seed, 3]
    )
    shares = [share / len(missing) for _ in missing]
    targets, *examples = hold_out(files["targets"], shares, [seed, 4])
    drawn = dict(zip(missing, examples, strict=True))
    rows = TrainingRows(
        pool,
        targets,
        held_out[0] if held_out else files["evaluation.pool"],
        *(drawn[name] if name in drawn else files[name] for name in FILES[3:]),
    )
    asked = config.evaluation.attribution.sizes(
        len(rows.held_out), len(rows.validation), len(rows.test)
    )
    for name, wanted, found, own, origin in (
        ("size", asked.size, rows.held_out, FILES[2], "pool"),
        ("validation", asked.validation, rows.validation, FILES[3], "targets"),
        ("targets", asked.targets, rows.test, FILES[4], "targets"),
    ):
        if wanted > len(found):
            have = counted(len(found), "row")
            raise ArgumentError(
                f"evaluation.attribution.{name} is {wanted:,}, but "
                + (
                    f"{own} has {have}; ask for fewer, or give more rows."
                    if own in files
                    else f"{have} {'is' if len(found) == 1 else 'are'} held out of the "
                    f"{len(files[origin]):,} of {origin} (evaluation.share {share:g}); ask for "
                    f"fewer, hold out more, or name a file as {own}."
                )
            )
    return rows


def settled(
    config: EncoderTrainingConfig, pool: int, sizes: AttributionSizes
) -> EncoderTrainingConfig:
    """The config with numbers for all that it left open.

    Args:
        config: The config.
        pool: Rows that splits are made of.
        sizes: What the evaluation draws.
    """
    attribution = replace(config.evaluation.attribution, **asdict(sizes))
    supervision = config.supervision
    if config.recorded is None:
        supervision = replace(supervision, **asdict(supervision.sizes(pool)))
    return replace(
        config,
        supervision=supervision,
        evaluation=replace(config.evaluation, attribution=attribution),
    )


def draw_all(
    rows: TrainingRows, config: EncoderTrainingConfig, directory: Path
) -> tuple[list[Split], Attribution]:
    """The splits to learn from, and the evaluation.

    Raises:
        ArgumentError: Too few rows, or of too few sources.
    """
    supervision = config.supervision
    if supervision.few_sources and len({example.source for example in rows.pool}) < 2:
        raise ArgumentError(
            "supervision.few_sources needs pool rows of at least 2 sources; name the field that "
            "tells them apart (columns: {source: ...}), or give one file per source."
        )
    if config.training.source_share and not any(example.source for example in rows.targets):
        raise ArgumentError(
            "training.source_share needs targets that say what source they are of, and none does; "
            "name the field (columns: {source: ...}), or leave it out."
        )
    splits = draw_splits(rows.pool, rows.targets, supervision, config.seed)
    evaluation = Attribution.draw(
        config.evaluation.attribution,
        rows.held_out,
        rows.validation,
        rows.test,
        directory,
        config.seed,
    )
    return splits, evaluation


def used_subsets(plan: SubsetPlan, use: Sequence[str] | None) -> list[int]:
    """Positions of a plan's subsets that are learned from."""
    return [i for i, kind in enumerate(plan.kinds) if use is None or kind in use]
