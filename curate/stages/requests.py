"""Requests: the arguments of each stage, validated before anything is read.

The arguments are those of `curate.select`, which documents them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from airrep.disk.paths import user_path
from airrep.engines import Engine, EngineName
from airrep.errors import ArgumentError
from airrep.machine.arguments import check_count, check_seed
from airrep.machine.number_types import ModelDtype
from curate.guard import Duplicates, Leakage, check_settings
from curate.manifest.arguments import replayable
from curate.rows.io import OnBadRow
from curate.stages.choosing import DEFAULT_K, AtMost, memory_of
from curate.stages.destination import check_apart, check_directory, check_format
from curate.stages.engine_choice import check_engine_for
from curate.stages.inputs import Inputs, Source, read_inputs
from curate.stages.own_scores import embedding_pair, is_own
from curate.stages.pool_guard import PoolGuard
from curate.stages.scorer_choice import (
    EncoderChoice,
    ScorerChoice,
    check_model_dtype,
    check_scorer,
    make_scorer,
    takes_modules,
    uses,
)
from curate.writing.file_format import FileFormat, ending_of
from selection.constraints import Constraints
from selection.selectors import (
    SelectorName,
    check_selector,
    check_sizes_itself,
    default_selector,
    make_selector,
)
from selection.selectors.base import AUTO, Size, check_k
from selection.weights import target_weights

if TYPE_CHECKING:
    from airrep.language_model.model import LanguageModel
    from airrep.records import Example
    from selection.scorers import Scorer
    from selection.selectors import Selector


_PROPOSED = 10  # rows that a second scorer looks at, for each that is chosen


@dataclass(frozen=True, eq=False)
class InputRequest:
    """The rows to choose from, and those to choose for."""

    pool: Source
    targets: Source
    test: Source | None = None
    columns: Mapping[str, str] | None = None
    target_columns: Mapping[str, str] | None = None
    roles: Mapping[str, str] | None = None
    on_bad_row: OnBadRow = "error"

    def read(self) -> Inputs:
        """All of them as examples; `read_inputs` says what it raises."""
        return read_inputs(**fields_of(self))


@dataclass(frozen=True, eq=False)
class GuardRequest:
    """What happens to leaks and near-duplicates."""

    leakage: Leakage = "remove"
    duplicates: Duplicates = "first"

    def __post_init__(self) -> None:
        check_settings(self.leakage, self.duplicates)

    def examine(self, inputs: Inputs) -> PoolGuard:
        """Look for both in the pool."""
        return PoolGuard(inputs.pool.examples, inputs.against, self.leakage, self.duplicates)


@dataclass(frozen=True, eq=False)
class ScoringRequest:
    """What scores are made with.

    Attributes:
        keeps_gradients: Whether a store that was asked for is for gradients as well.
        rescore: A second scorer, which only looks at rows that the first one proposes.
        rescore_rows: How many it proposes; default ten for each row that is chosen.
    """

    scorer: ScorerChoice = "airrep"
    encoder: EncoderChoice | None = None
    model: str | Path | LanguageModel | None = None
    store: str | Path | None = None
    modules: str | Sequence[str] | None = None
    tokens_per_batch: int = 4096
    seed: int = 0
    progress: bool = False
    keeps_gradients: bool = True
    model_dtype: ModelDtype = "float32"
    rescore: ScorerChoice | None = None
    rescore_rows: int | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed)

    @property
    def stages(self) -> list[ScoringRequest]:
        """A request for each scorer, with what it looks at."""
        if self.rescore is None:
            return [self]
        first, second = self.scorer, self.rescore
        by_model = uses(first, "model"), uses(second, "model")
        return [
            replace(
                self,
                scorer=scorer,
                model=self.model if own or (last and not any(by_model)) else None,
                model_dtype=self.model_dtype if own or last else "float32",
                modules=self.modules if takes_modules(scorer) or last else None,
                rescore=None,
                rescore_rows=None,
            )
            for scorer, own, last in zip((first, second), by_model, (False, True), strict=True)
        ]

    def check(self, *, counts_tokens: bool = False) -> None:
        """Refuse an unknown scorer, and a model that is missing or of no use (`check_scorer`)."""
        if self.rescore is not None:
            self._check_rescoring()
            for stage in self.stages:
                stage.check(counts_tokens=counts_tokens)
            return
        if self.rescore_rows is not None:
            raise ArgumentError(
                "rescore_rows says how many rows a second scorer looks at, and there is none: name "
                "it with rescore (--rescore), or leave rescore_rows out."
            )
        check_scorer(self.scorer, self.model, counts_tokens=counts_tokens)
        check_model_dtype(self.scorer, self.model, self.model_dtype)
        if self.modules is not None and not takes_modules(self.scorer):
            raise ArgumentError(
                "modules names layers of the model whose gradients are looked at, and this scorer "
                "looks at none. Leave modules out, or choose gradient, gradient_cosine or "
                "gradient_adam."
            )
        embedding_pair(self.encoder)

    def _check_rescoring(self) -> None:
        """Refuse a second scorer that is the first, and a number of rows that is none.

        Raises:
            ArgumentError: See there.
        """
        named = isinstance(self.scorer, str) and isinstance(self.rescore, str)
        if named and self.rescore == self.scorer:
            raise ArgumentError(
                f"rescore is {self.rescore!r}, which is the scorer that proposes: choose another, "
                "or leave rescore out."
            )
        if self.rescore_rows is not None:
            check_count(self.rescore_rows, "rescore_rows")

    def made(
        self,
        rows: tuple[Sequence[Example], Sequence[Example]],
        store: Path | None = None,
        engine: Engine | None = None,
    ) -> Scorer:
        """The scorer.

        Args:
            rows: All targets and pool rows, in the order of scores and embeddings of one's own.
            store: Where the pool's embeddings are kept, if that is not what was asked for.
            engine: Who encodes and scans; default this process.
        """
        return make_scorer(
            self.scorer,
            encoder=self.encoder,
            model=self.model if uses(self.scorer, "model") else None,
            model_dtype=self.model_dtype,
            store=store or self.store,
            gradient_store=self.store if self.keeps_gradients else None,
            modules=self.modules,
            seed=self.seed,
            tokens_per_batch=self.tokens_per_batch,
            progress=self.progress,
            engine=engine,
            rows=rows,
        )


@dataclass(frozen=True, eq=False)
class ChoiceRequest:
    """How many rows are chosen, and how.

    Attributes:
        default_k: What k is where nothing says how many; fewer if there are fewer.
    """

    k: Size | None = None
    selector: SelectorName | Selector | None = None
    scale: float | None = None
    weights: Sequence[float] | None = None
    constraints: Constraints | Mapping[str, Any] | None = None
    memory_limit: str | int | None = None
    seed: int = 0
    default_k: int = DEFAULT_K

    def __post_init__(self) -> None:
        self._check_size(self.named)
        memory_of(self.memory_limit)

    @cached_property
    def asked(self) -> Constraints | None:
        """The constraints, if there are any."""
        return None if self.constraints is None else Constraints.of(self.constraints)

    @property
    def counts_tokens(self) -> bool:
        """Whether there is a token budget."""
        return self.asked is not None and self.asked.max_tokens is not None

    @property
    def size(self) -> Size | None:
        """How many rows; None is as many as a token budget holds."""
        return AtMost(self.default_k) if self.k is None and not self.counts_tokens else self.k

    @property
    def number(self) -> int | None:
        """How many rows, if the user gave a number."""
        return None if self.k is None or self.k == AUTO else self.k

    def proposals(self, rescore_rows: int | None) -> int:
        """How many rows a second scorer looks at.

        Raises:
            ArgumentError: Fewer than are chosen; or nothing says how many.
        """
        k = self.number or (int(self.size) if isinstance(self.size, AtMost) else None)
        if rescore_rows is None and k is None:
            raise ArgumentError(
                "rescore_rows: without a number of rows to choose, say how many the second scorer "
                "looks at (--rescore-rows)."
            )
        number = rescore_rows or _PROPOSED * int(k or 0)
        if self.number is not None and number < self.number:
            raise ArgumentError(
                f"rescore_rows is {number:,}, fewer than the {self.number:,} rows that are chosen "
                "of them; raise it, or lower k."
            )
        return number

    def share(self, inputs: Inputs) -> npt.NDArray[np.float64]:
        """How much each target counts; refuses a k that is larger than the pool as well.

        Raises:
            ArgumentError: Weights that do not fit the targets, or such a k.
        """
        if self.number is not None:
            check_k(self.number, len(inputs.pool.examples))
        return target_weights(self.weights, len(inputs.targets))

    def chooser(self, scorer: Scorer, rows: int) -> Selector:
        """The selector that was asked for, or the default for this scorer and so many pool rows.

        Raises:
            ArgumentError: The scorer's scores cannot serve it, or it cannot tell how many rows.
        """
        made = self.named
        if made is None:
            made = self._selector(default_selector(scorer, rows, self.scale))
        check_selector(made, scorer)
        self._check_size(made)
        return made

    @cached_property
    def named(self) -> Selector | None:
        """The selector that was asked for, if one was."""
        given = self.selector
        return self._selector(given) if isinstance(given, str) else given

    def _selector(self, name: str) -> Selector:
        return make_selector(name, scale=self.scale, seed=self.seed)

    def _check_size(self, selector: Selector | None) -> None:
        """Refuse k = "auto" where nothing says how many rows that is.

        Raises:
            ArgumentError: There are constraints, or the selector, if it is known yet, has no
                objective that says so.
        """
        if self.k != AUTO:
            return
        if self.asked is not None:
            raise ArgumentError(
                "k = 'auto' and constraints do not go together: where the objective is best, a "
                "quota need not be met. Give k as a number, or leave the constraints out."
            )
        if selector is not None:
            check_sizes_itself(selector)


@dataclass(frozen=True, eq=False)
class OutputRequest:
    """Where the result is written to, and whether it may replace another run's."""

    output: str | Path | None = None
    format: FileFormat = "parquet"
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_format(self.format)

    @cached_property
    def directory(self) -> Path | None:
        """The directory, if there is one."""
        return None if self.output is None else user_path(self.output, "output")


@dataclass(frozen=True, eq=False)
class SelectionRequest:
    """All that a verb was asked for.

    Attributes:
        verb: Which; it repeats the run from the manifest.
        inputs: The rows.
        guard: Leaks and near-duplicates.
        scoring: The scorer.
        choice: The selector.
        output: The results.
        engine: Who encodes the pool and looks at its scores.
        added: Names of fields that are no arguments of the verb.
    """

    verb: str
    inputs: InputRequest
    guard: GuardRequest
    scoring: ScoringRequest
    choice: ChoiceRequest
    output: OutputRequest
    engine: EngineName = "local"
    added: Sequence[str] = ()

    def __post_init__(self) -> None:
        replayable(self.given)  # refuses what no manifest could hold, before anything is made
        self.scoring.check(counts_tokens=self.choice.counts_tokens)
        check_engine_for(self.engine, self.scoring.scorer, self.scoring.encoder, self.store)
        named: dict[str, Any] = {"encoder": self.scoring.encoder, "model": self.scoring.model}
        if is_own(self.scoring.scorer):
            named["scorer"] = self.scoring.scorer
        sources = {n: getattr(self.inputs, n) for n in ("pool", "targets", "test")}
        if self.scoring.store is not None and self.store is not None:
            check_apart(self.store, sources | named)
        if self.output.directory is not None:
            check_apart(self.output.directory, sources | named)
            check_directory(self.output.directory, ending_of(self.output.format))

    @cached_property
    def store(self) -> Path | None:
        """Where the pool's embeddings are kept."""
        if self.scoring.store is not None:
            return user_path(self.scoring.store, "store")
        output = self.output.directory
        return None if output is None else output / "embeddings"

    @property
    def given(self) -> dict[str, Any]:
        """The verb's arguments by name, as far as they belong to a stage."""
        parts = (self.inputs, self.guard, self.scoring, self.choice, self.output)
        named = {name: value for part in parts for name, value in fields_of(part).items()}
        added = ("keeps_gradients", *self.added)
        return {name: value for name, value in named.items() if name not in added}


def fields_of(request: Any) -> dict[str, Any]:  # noqa: ANN401 (any of the dataclasses above)
    """The fields of a request, without what has been made of them."""
    return {each.name: getattr(request, each.name) for each in fields(request)}
