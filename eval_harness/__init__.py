"""A chosen set to evidence: fine-tune on it, and measure.

Importing this package does not import torch; what needs it loads on first use.
"""

from typing import TYPE_CHECKING

from airrep.machine.lazy import lazily

if TYPE_CHECKING:
    from airrep.language_model.losses import completion_losses as completion_losses
    from eval_harness.measures.datamodeling import LdsResult as LdsResult
    from eval_harness.measures.datamodeling import lds_difference as lds_difference
    from eval_harness.measures.datamodeling import lds_of_predictions as lds_of_predictions
    from eval_harness.measures.datamodeling import lds_of_scores as lds_of_scores
    from eval_harness.measures.precision import source_precision as source_precision
    from eval_harness.measures.predictions import group_predictions as group_predictions
    from eval_harness.measures.reliability import NoiseCeiling as NoiseCeiling
    from eval_harness.measures.reliability import noise_ceiling as noise_ceiling
    from eval_harness.measures.standard_suites import lm_eval_tasks as lm_eval_tasks
    from eval_harness.measures.task_accuracy import Accuracy as Accuracy
    from eval_harness.measures.task_accuracy import accuracy as accuracy
    from eval_harness.measures.text_match import exact_match as exact_match
    from eval_harness.measures.text_match import token_f1 as token_f1
    from eval_harness.runners.recipe import Recipe as Recipe
    from eval_harness.runners.sft import FineTuned as FineTuned
    from eval_harness.runners.sft import fine_tune as fine_tune
    from eval_harness.runners.stacked import StackedRunner as StackedRunner
    from eval_harness.runners.trl import TrlRunner as TrlRunner
    from eval_harness.runs.subset_runs import run_subsets as run_subsets
    from eval_harness.runs.subsets import draw_plan as draw_plan

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "eval_harness.measures.datamodeling": [
            "LdsResult",
            "lds_difference",
            "lds_of_predictions",
            "lds_of_scores",
        ],
        "airrep.language_model.losses": ["completion_losses"],
        "eval_harness.measures.precision": ["source_precision"],
        "eval_harness.measures.predictions": ["group_predictions"],
        "eval_harness.measures.reliability": ["NoiseCeiling", "noise_ceiling"],
        "eval_harness.measures.standard_suites": ["lm_eval_tasks"],
        "eval_harness.measures.task_accuracy": ["Accuracy", "accuracy"],
        "eval_harness.measures.text_match": ["exact_match", "token_f1"],
        "eval_harness.runners.recipe": ["Recipe"],
        "eval_harness.runners.sft": ["FineTuned", "fine_tune"],
        "eval_harness.runners.stacked": ["StackedRunner"],
        "eval_harness.runners.trl": ["TrlRunner"],
        "eval_harness.runs.subset_runs": ["run_subsets"],
        "eval_harness.runs.subsets": ["draw_plan"],
    },
)
