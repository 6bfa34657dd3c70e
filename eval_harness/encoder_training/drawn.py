"""Runs that a training draws and measures itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airrep.language_model.model import LanguageModel
from airrep.records import Example
from airrep.supervision import SubsetLosses
from eval_harness.benchmark.attribution import Attribution
from eval_harness.encoder_training.config import EncoderTrainingConfig
from eval_harness.encoder_training.rows import TrainingRows, draw_all, settled, share_out_rows
from eval_harness.runners.base import Runner, provenance
from eval_harness.runners.choice import choose_runner, longest_tokens
from eval_harness.runners.memory import check_fits
from eval_harness.runs.splits import Split
from eval_harness.runs.subset_runs import run_subsets


@dataclass(eq=False)
class DrawnRuns:
    """What is learned from and tested on, before and after it is measured.

    Attributes:
        rows: All rows, by what they are for.
        splits: What is learned from.
        evaluation: What decides when to stop, and what figures are reported on.
        config: The config, with numbers for what it left open.
        note: Why models are not trained in stacks, if "auto" found that they cannot be.
    """

    rows: TrainingRows
    splits: list[Split]
    evaluation: Attribution
    config: EncoderTrainingConfig
    _files: Mapping[str, Sequence[Example]]
    note: str = field(default="", init=False)
    _runner: Runner = field(init=False)

    @classmethod
    def draw(
        cls,
        files: Mapping[str, Sequence[Example]],
        config: EncoderTrainingConfig,
        directory: Path,
        *,
        progress: bool,
    ) -> DrawnRuns:
        """Hold rows out and draw subsets; see `share_out_rows` and `draw_all`."""
        every = [example for given in files.values() for example in given]
        check_fits(
            config.model,
            every,
            config.recipe,
            config.max_tokens,
            runner=config.runner,
            progress=progress,
        )
        rows = share_out_rows(files, config)
        splits, evaluation = draw_all(rows, config, directory / "evaluation")
        return cls(
            rows, splits, evaluation, settled(config, len(rows.pool), evaluation.sizes), files
        )

    def bind(self, model: LanguageModel) -> dict[str, Any]:
        """Choose how models are trained; returns what the directory is bound to by it."""
        config = self.config
        longest = longest_tokens(model, [e for given in self._files.values() for e in given])
        self._runner, self.note = choose_runner(
            config.runner, model, config.recipe, longest, config.stack
        )
        return provenance(self._runner)

    def measure(
        self, directory: Path, *, progress: bool
    ) -> tuple[list[SubsetLosses], SubsetLosses]:
        """The losses of every split, and of the evaluation; finished runs are kept."""
        losses = []
        for i, split in enumerate(self.splits):
            given = (split.plan, split.pool, split.evaluation, self._runner)
            losses.append(run_subsets(*given, directory / f"split-{i}", progress=progress))
        return losses, self.evaluation.record(self._runner, progress=progress)
