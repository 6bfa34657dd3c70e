"""Runners: rows to fine-tuned models, by one recipe. Each loads on first use.

Not here: which rows (`eval_harness.runs`).
"""

from typing import TYPE_CHECKING

from airrep.machine.lazy import lazily

if TYPE_CHECKING:
    from eval_harness.runners.base import Runner as Runner
    from eval_harness.runners.base import TrainedModels as TrainedModels
    from eval_harness.runners.base import TrainingRun as TrainingRun
    from eval_harness.runners.stacked import StackedRunner as StackedRunner
    from eval_harness.runners.trl import TrlRunner as TrlRunner

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "eval_harness.runners.base": ["Runner", "TrainedModels", "TrainingRun"],
        "eval_harness.runners.stacked": ["StackedRunner"],
        "eval_harness.runners.trl": ["TrlRunner"],
    },
)
