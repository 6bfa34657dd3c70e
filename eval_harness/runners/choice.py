"""The runner for a model: the fast one where the model can be taken apart, else the general one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

from airrep.errors import ArgumentError, CheckpointError
from eval_harness.runners.recipe import Recipe, Trainable

if TYPE_CHECKING:
    from airrep.language_model.model import LanguageModel
    from airrep.language_model.tokens import Tokens
    from airrep.records import Example
    from eval_harness.runners.base import Runner

RunnerName = Literal["auto", "stacked", "trl"]


def check_runner_name(name: str) -> None:
    """Raise an `ArgumentError` if there is no such runner."""
    if name not in get_args(RunnerName):
        raise ArgumentError(f"runner {name!r} is unknown; choose auto, stacked or trl.")


def choose_runner(
    name: str, model: LanguageModel, recipe: Recipe, tokens: Tokens, stack: int = 8
) -> tuple[Runner, str]:
    """Make a runner.

    Args:
        name: "stacked", "trl", or "auto": stacked unless the model cannot be trained in stacks.
        model: What every run starts from.
        recipe: How runs train.
        tokens: An example, the longer the better, on which "auto" compares the parts' logits with
            the model's own.
        stack: For the stacked runner: models trained together.

    Returns:
        The runner, and why "auto" did not choose the stacked one ("" where it did).

    Raises:
        ArgumentError: `name` is unknown, or the runner cannot train this model so.
        CheckpointError: "stacked", and this architecture cannot be taken apart.
    """
    check_runner_name(name)
    from eval_harness.runners.stack_network import check_parts, take_apart  # torch
    from eval_harness.runners.stacked import StackedRunner
    from eval_harness.runners.trl import TrlRunner

    if name == "trl":
        return TrlRunner(model, recipe), ""
    if name == "auto":
        try:
            parts = take_apart(model, Trainable.parse(recipe.trainable))
            check_parts(parts, model, tokens)
        except (ArgumentError, CheckpointError) as error:
            return TrlRunner(model, recipe), str(error)
        del parts  # a copy of the model's weights
    return StackedRunner(model, recipe, stack), ""


def longest_tokens(model: LanguageModel, examples: Sequence[Example]) -> Tokens:
    """The tokens of the example with the longest text, for `choose_runner`."""
    longest = max(examples, key=lambda example: len(example.prompt) + len(example.completion))
    return model.tokenize([longest])[0]
