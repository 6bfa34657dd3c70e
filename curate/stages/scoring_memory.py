"""Scoring by a language model for which there is not enough memory is refused beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import nlargest
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import torch

from airrep.console.progress import announce
from airrep.disk.paths import user_path
from airrep.errors import ArgumentError, RecordError
from airrep.gradients.memory import ScoredBy, as_gib, scoring_memory
from airrep.language_model.model import count_tokens
from airrep.machine.hardware import default_device, fastest_dtype
from airrep.machine.memory import free_memory
from airrep.machine.number_types import ModelDtype
from airrep.records import Example

if TYPE_CHECKING:
    from airrep.language_model.model import LanguageModel

_DTYPES: tuple[ModelDtype, ...] = get_args(ModelDtype)
# Scorers that need a language model: what their memory is reckoned as, and the number types of
# weights that they can read.
_SCORED_BY: dict[str, tuple[ScoredBy, tuple[ModelDtype, ...]]] = {
    "rds": ("rds", _DTYPES),
    "gradient": ("gradient", _DTYPES),
    "gradient_cosine": ("gradient", _DTYPES),
    "gradient_adam": ("gradient_adam", ("float32", "bfloat16")),
    "nudge": ("nudge", ("float32",)),
}
_ANYWAY = ("a smaller model", "more free memory")
_LOOKED_AT = 16  # rows, those of the longest texts


def check_scoring_memory(
    scorers: Sequence[str],
    model: str | Path | LanguageModel,
    dtype: ModelDtype,
    examples: Iterable[Example],
    *,
    limit: int | None = None,
    instead: Sequence[str] | None = None,
    progress: bool = False,
) -> None:
    """Refuse scoring that does not fit into the memory of a CPU, and say what would.

    Args:
        scorers: Names, of which at least one needs a language model.
        model: A model that is loaded already takes nothing more for its weights.
        dtype: Number type that its weights are held in.
        examples: What is scored, targets and pool rows.
        limit: Bytes that may be taken; default `airrep.machine.memory.free_memory`.
        instead: What takes less, in words; default other number types and scorers.
        progress: Say what scoring takes.

    Raises:
        ArgumentError: It takes more than the limit.
        MissingInputError: No such model.
    """
    loaded = None if isinstance(model, str | Path) else model
    if loaded is not None:
        dtype = cast("ModelDtype", str(loaded.network.dtype).removeprefix("torch."))
    if default_device().type != "cpu" or dtype not in _DTYPES:
        return
    if isinstance(model, str | Path):
        user_path(model, "model")
    known = [name for name in scorers if name in _SCORED_BY]
    longest = _longest(model, examples)
    shape = model if isinstance(model, str | Path) else model.network.config
    narrow = fastest_dtype(torch.device("cpu")) is torch.bfloat16

    def taken(scorer: str, dtype: ModelDtype) -> int:
        needed = scoring_memory(
            shape, _SCORED_BY[scorer][0], dtype=dtype, narrow=narrow, longest=longest
        )
        return needed.total - needed.weights * (loaded is not None)

    dearest, needed = max(((each, taken(each, dtype)) for each in known), key=lambda each: each[1])
    limit = free_memory() if limit is None else limit
    if needed <= limit:
        said = f"scoring takes about {as_gib(needed)}, and may take {as_gib(limit)}"
        announce("memory", said, shown=progress)
        return
    fewer_bits = [
        f"--model-dtype {other} takes {as_gib(size)}"
        for other in _DTYPES
        if loaded is None and all(other in _SCORED_BY[each][1] for each in known)
        if (size := max(taken(each, other) for each in known)) <= limit
    ]
    cheaper = [
        f"--scorer {other} takes {as_gib(size)}"
        for other in ("gradient", "rds")
        if other not in known and (size := taken(other, dtype)) <= limit
    ]
    without = "--scorer airrep needs no language model"
    ways = [*([*fewer_bits, *cheaper, without] if instead is None else instead), *_ANYWAY]
    raise ArgumentError(
        f"{loaded.name if loaded else model}: scoring by {dearest} takes about {as_gib(needed)} "
        f"(weights in {dtype}, rows of up to {longest:,} tokens), and three quarters of what is "
        f"free are {as_gib(limit)}. What would fit: {'; '.join(ways)}."
    )


def _longest(model: str | Path | LanguageModel, examples: Iterable[Example]) -> int:
    """Tokens of the longest row; 0 if one cannot be read, which is said where all are."""
    texts = nlargest(_LOOKED_AT, examples, lambda each: len(each.prompt) + len(each.completion))
    try:
        if isinstance(model, str | Path):
            return max(count_tokens(model, texts), default=0)
        return max((len(each.ids) for each in model.tokenize(texts)), default=0)
    except RecordError:
        return 0
