"""A user's constraints, tied to the pool rows that the guard left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from airrep.errors import ArgumentError
from airrep.records import Example, ids_of, sources_of
from curate.stages.pool_guard import Kept
from selection.constraints import BoundConstraints, Constraints

if TYPE_CHECKING:
    from airrep.language_model.model import LanguageModel


def bind(
    asked: Constraints,
    pool: Sequence[Example],
    kept: Kept,
    model: str | Path | LanguageModel | None,
) -> BoundConstraints:
    """Find the rows and sources that constraints speak of, and count tokens under a budget.

    Args:
        asked: The constraints.
        pool: The usable pool rows, those that the guard removed included.
        kept: What the guard left of them.
        model: The language model that will be trained; its tokens count.

    Raises:
        ArgumentError: A row or source is not in the pool, or a row that has to be in was removed.
        CurateError: The model's tokenizer cannot be read, or a row has no tokens.
    """
    removed = {removal.id: removal for removal in kept.report.removed}
    for name in asked.include:
        if name in removed:
            gone = removed[str(name)]
            of = gone.of if gone.reason == "leak" else f"row {gone.of}"
            setting = "leakage" if gone.reason == "leak" else "duplicates"
            raise ArgumentError(
                f"constraints: include names row {name!r}, which the guard removed as a "
                f'{gone.reason} of {of} ("{gone.span}"). Include another row, or keep it with '
                f'{setting}="warn".'
            )
    tokens = None if asked.max_tokens is None else _lengths(pool, model)
    ids, sources = ids_of(pool), sources_of(pool)
    return BoundConstraints.bind(asked, ids, sources, tokens).columns(kept.positions)


def _lengths(pool: Sequence[Example], model: str | Path | LanguageModel | None) -> list[int]:
    from airrep.language_model.model import count_tokens  # here, because it brings torch

    if model is None:
        raise ArgumentError(
            "constraints: max_tokens counts the tokens of the language model that will be trained; "
            "name it: model=... (--model ...)."
        )
    if isinstance(model, str | Path):
        return count_tokens(model, pool)
    return [len(tokens.ids) for tokens in model.tokenize(pool)]
