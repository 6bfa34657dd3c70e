"""The runner for a model: stacks of small models, one large model at a time."""

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

RunnerName = Literal["auto", "direct", "stacked", "trl"]


def check_runner_name(name: str) -> None:
    """Raise an `ArgumentError` if there is no such runner."""
    if name not in get_args(RunnerName):
        raise ArgumentError(f"runner {name!r} is unknown; choose auto, direct, stacked or trl.")


def choose_runner(
    name: str,
    model: LanguageModel,
    recipe: Recipe,
    tokens: Tokens,
    stack: int = 8,
    *,
    compiled: bool = False,
) -> tuple[Runner, str]:
    """Make a runner.

    A small model spends most of a step on calling one product after the other, which a stack does
    for many models at once; a large one spends it on the products, and a stack costs it memory for
    nothing (docs/benchmarks.md). The border is that of `airrep.language_model.passes.is_large`.

    Args:
        name: "direct", "stacked", "trl", or "auto": stacked for small models that can be trained in
            stacks, direct for all others.
        model: What every run starts from.
        recipe: How runs train.
        tokens: An example, the longer the better, on which "auto" compares the parts' logits with
            the model's own.
        stack: For the stacked runner: models trained together.
        compiled: For the direct runner, see there.

    Returns:
        The runner, and why "auto" did not choose the stacked one ("" where it did, or was not
        asked).

    Raises:
        ArgumentError: `name` is unknown, or the runner cannot train this model so.
        CheckpointError: "stacked", and this architecture cannot be taken apart.
    """
    check_runner_name(name)
    from airrep.language_model.passes import is_large  # here, because these bring torch
    from eval_harness.runners.direct import DirectRunner
    from eval_harness.runners.stack_network import check_parts, take_apart
    from eval_harness.runners.stacked import StackedRunner
    from eval_harness.runners.trl import TrlRunner

    if name == "trl":
        return TrlRunner(model, recipe), ""
    if name == "direct" or (name == "auto" and compiled):
        return DirectRunner(model, recipe, compiled=compiled), ""
    if name == "auto":
        if is_large(model.network):
            return DirectRunner(model, recipe), "a large model trains faster one at a time"
        try:
            parts = take_apart(model, Trainable.parse(recipe.trainable))
            check_parts(parts, model, tokens)
        except (ArgumentError, CheckpointError) as error:
            return DirectRunner(model, recipe), str(error)
        del parts  # a copy of the model's weights
    return StackedRunner(model, recipe, stack), ""


def longest_tokens(model: LanguageModel, examples: Sequence[Example]) -> Tokens:
    """The tokens of the example with the longest text, for `choose_runner`."""
    longest = max(examples, key=lambda example: len(example.prompt) + len(example.completion))
    return model.tokenize([longest])[0]
