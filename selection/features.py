"""Features of examples that were computed before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.errors import ArgumentError, EmbeddingError
from airrep.records import Example

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class KnownFeatures:
    """Rows of features, found again by what an example says (its prompt and completion).

    Compute a pool's features once, keep them as an array, and give them to the scorers of any
    subset of that pool. They have to come from the same model and settings as the scorer's; only
    their size is checked.

    Attributes:
        examples: What the features are of.
        rows: (len(examples), D); may be on disk (`numpy.load(..., mmap_mode="r")`).
    """

    examples: Sequence[Example] = field(repr=False)
    rows: Float32 = field(repr=False)

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or len(self.rows) != len(self.examples):
            raise EmbeddingError(
                f"known features: expected ({len(self.examples)}, D), one row per example, found "
                f"{self.rows.shape}."
            )

    @cached_property
    def index(self) -> dict[str, int]:
        """Where each text's features are."""
        return {e.content: i for i, e in enumerate(self.examples)}


def features_of(
    examples: Sequence[Example],
    known: KnownFeatures | None,
    dim: int,
    compute: Callable[[Sequence[Example]], Float32],
) -> Float32:
    """The examples' features (len(examples), dim): known ones looked up, the others computed.

    Raises:
        ArgumentError: The known features are of another size.
        EmbeddingError: A known feature that is needed is NaN or infinite.
    """
    if known is None:
        return compute(examples)
    if known.rows.shape[1] != dim:
        raise ArgumentError(
            f"the known features have {counted(known.rows.shape[1], 'column')}, but this scorer's "
            f"have {dim}: they come from another model, or other settings."
        )
    places = np.array([known.index.get(e.content, -1) for e in examples], dtype=int)
    features = np.empty((len(examples), dim), dtype=np.float32)
    found, missing = np.flatnonzero(places >= 0), np.flatnonzero(places < 0)
    features[found] = known.rows[places[found]]
    broken = found[~np.isfinite(features[found]).all(axis=1)].tolist()
    if broken:
        raise EmbeddingError(
            f"known features: NaN or infinite for {examples[broken[0]].id!r}; compute them again."
        )
    if missing.size:
        features[missing] = compute([examples[i] for i in missing.tolist()])
    return features


def check_given(targets: Sequence[Example], pool: Sequence[Example]) -> None:
    """Refuse, before any work, to score nothing.

    Raises:
        ArgumentError: No targets, or an empty pool.
    """
    if not targets:
        raise ArgumentError("no targets: give at least one example to select for.")
    if not pool:
        raise ArgumentError("the pool is empty: there is nothing to select from.")
