"""Selection problems that separate methods: one pool, targets of one source, four settings.

On a mixture of tasks, words alone find the targets' own task. So the own source can be taken away,
a share of the pool's completions can be wrong, or targets and pool can be phrased differently.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.errors import ArgumentError
from airrep.records import Example
from airrep.template import text_fingerprint
from eval_harness.benchmark.config import SelectionConfig
from eval_harness.runs.subsets import by_source

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rows:
    """Examples, and the prompt template that each was made with ("" where it is not known)."""

    examples: Sequence[Example]
    templates: Sequence[str]

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def digest(self) -> str:
        """Equal for equal rows: texts, sources and templates."""
        rows = zip(self.examples, self.templates, strict=True)
        content = [[e.prompt, e.completion, e.source, template] for e, template in rows]
        return text_fingerprint(json.dumps(content)).hex()

    def of_source(self, source: str) -> Indices:
        """Positions of a source's rows."""
        return np.array([i for i, e in enumerate(self.examples) if e.source == source], dtype=int)

    @cached_property
    def groups(self) -> list[str]:
        """Source and template of each row: rows that share their possible answers."""
        pairs = zip(self.examples, self.templates, strict=True)
        return [f"{e.source}|{template}" for e, template in pairs]


@dataclass(frozen=True, eq=False)
class Problem:
    """One selection problem.

    What scorers learn from a pool (word weights, Fisher matrices) they learn from all of it, in
    every setting.
    """

    setting: str  # one of `SETTINGS`
    source: str  # of the targets and of the evaluation rows
    seed: int  # of the draw of targets
    pool: Indices  # positions in the setting's pool that may be chosen
    targets: Indices  # positions in the targets file
    evaluation: Indices  # positions in the file that is evaluated on


@dataclass(frozen=True, eq=False)
class Problems:
    """All problems over one pool, one file of targets and one test file."""

    pool: Rows
    targets: Rows
    test: Rows
    config: SelectionConfig
    seed: int

    @cached_property
    def sources(self) -> list[str]:
        """The target sources.

        Raises:
            ArgumentError: A source that was asked for has too few rows, or none has enough.
        """
        known = sorted({e.source for e in self.targets.examples})
        wanted = self.config.sources or known
        enough = [s for s in wanted if self._has_enough(s)]
        if not enough or (self.config.sources and len(enough) < len(wanted)):
            short = next((s for s in wanted if s not in enough), "")
            raise ArgumentError(
                f"source {short!r}: not enough rows; {counted(self.config.targets, 'target')} and "
                "at least 1 evaluation row are needed in the targets and test files, found "
                f"{len(self.targets.of_source(short))} and {len(self.test.of_source(short))}."
            )
        return enough

    @property
    def evaluated(self) -> Rows:
        """The file whose rows are evaluated on."""
        return self.test if self.config.evaluate_on == "test" else self.targets

    def pool_of(self, setting: str) -> Sequence[Example]:
        """The setting's pool; positions in `Problem.pool` refer to it."""
        return self.wrong_pool[0] if setting == "wrong_labels" else self.pool.examples

    @cached_property
    def wrong_pool(self) -> tuple[list[Example], Indices]:
        """The pool with a share of completions swapped within sources, and which rows they are."""
        return swap_completions(self.pool.examples, self.config.wrong_share, self.seed)

    def make(self, setting: str, source: str, seed: int) -> Problem:
        """One problem.

        Raises:
            ArgumentError: The setting leaves no pool, no targets or nothing to evaluate on.
        """
        candidates, pool = self.targets.of_source(source), np.arange(len(self.pool))
        evaluation = self.evaluated.of_source(source)
        if setting == "removed":
            pool = np.setdiff1d(pool, self.pool.of_source(source))
        if setting == "templates_held_out":
            kept = self._targets_templates(source)
            candidates = _with_template(self.targets, candidates, kept)
            evaluation = _with_template(self.evaluated, evaluation, kept)
            own = self.pool.of_source(source)
            pool = np.setdiff1d(pool, _with_template(self.pool, own, kept))
        rng = np.random.default_rng([self.seed, seed, self.sources.index(source)])
        if len(candidates) < min(self.config.targets, 5) or not len(pool):
            raise ArgumentError(f"{setting}, {source}: too few targets, or no pool, is left.")
        count = min(self.config.targets, len(candidates))
        targets = np.sort(rng.choice(candidates, count, replace=False))
        if self.evaluated is self.targets:
            evaluation = np.setdiff1d(evaluation, targets)
        if not len(evaluation):
            raise ArgumentError(f"{setting}, {source}: nothing is left to evaluate on.")
        fixed = np.random.default_rng([self.seed, len(evaluation)])
        shown = min(self.config.evaluation, len(evaluation))
        evaluation = np.sort(fixed.choice(evaluation, shown, replace=False))
        return Problem(setting, source, seed, pool, targets, evaluation)

    def _has_enough(self, source: str) -> bool:
        targets, test = self.targets.of_source(source), self.test.of_source(source)
        return len(targets) > self.config.targets and len(test) > 0

    def _targets_templates(self, source: str) -> set[str]:
        """Every other of the source's templates, the frequent ones shared out first."""
        names = Counter(self.targets.templates[i] for i in self.targets.of_source(source))
        by_count = sorted(names, key=lambda name: (-names[name], name))
        if len(by_count) < 2:
            raise ArgumentError(
                f"templates_held_out: source {source!r} has "
                f"{counted(len(by_count), 'prompt template')}; at "
                "least 2 are needed."
            )
        return set(by_count[::2])


def swap_completions(
    examples: Sequence[Example], share: float, seed: int
) -> tuple[list[Example], Indices]:
    """Give a share of each source's rows the completion of another row of that source.

    Returns:
        The examples, and the positions of those whose completion is another one now. A source in
        which nearly all completions are equal has fewer of them than `share`.
    """
    changed = list(examples)
    places: list[int] = []
    rng = np.random.default_rng([seed, len(examples)])
    for rows in by_source(examples):
        drawn = rng.choice(rows, round(share * len(rows)), replace=False).tolist()
        # Sorted by completion and turned by the commonest one's count, no row meets its own,
        # unless one completion fills more than half.
        drawn.sort(key=lambda i: (examples[i].completion, i))
        texts = [examples[i].completion for i in drawn]
        turn = max(Counter(texts).values(), default=0)
        for place, i in enumerate(drawn):
            wrong = texts[(place + turn) % len(drawn)]
            if wrong != examples[i].completion:
                changed[i] = examples[i].answering(wrong)
                places.append(i)
    return changed, np.sort(np.array(places, dtype=int))


def sample(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """`count` examples at random, in their order.

    Raises:
        ArgumentError: There are fewer.
    """
    if not 0 < count <= len(examples):
        raise ArgumentError(f"asked for {counted(count, 'example')}; there are {len(examples)}.")
    rng = np.random.default_rng([seed, count])
    return [examples[i] for i in np.sort(rng.choice(len(examples), count, replace=False))]


def _with_template(rows: Rows, positions: Indices, names: set[str]) -> Indices:
    return np.array([i for i in positions if rows.templates[i] in names], dtype=int)
