"""Memory of a certified selection, known before it is taken.

With T targets, N pool rows, C candidates and k picks:

    8·N + N                  mean score of each row, and whether it is a candidate
    12·T·C                   the candidates' scores twice (while they are widened), and weights
    20·T·(k + k/4)           states of the group at each decision: picks, and layers that close
    1,024·T·G                tables of bounds: 256 bins; G = 1,056 groups of decisions, at most two
                             for each decision
    40·T·B                   blocks of scores that are worked on, B = 8,192 rows, for each thread

What is not in it: the embeddings of a block (they belong to the scores), and the pool itself.
"""

from __future__ import annotations

from airrep.console.wording import counted
from airrep.errors import ArgumentError
from selection.certified.audit import COARSE, FINE
from selection.certified.envelope import BINS
from selection.group import usable_cpus
from selection.scores import BLOCK


def needed(targets: int, pool: int, k: int, candidates: int) -> int:
    """Bytes, by the formula above."""
    decisions = k + k // 4
    tables = 4 * BINS * targets * min(COARSE + COARSE * FINE, 2 * decisions)
    states = 20 * targets * decisions
    blocks = 40 * targets * min(BLOCK, pool) * usable_cpus()
    return 9 * pool + 12 * targets * candidates + states + tables + blocks


def candidates_that_fit(
    memory: int, targets: int, pool: int, k: int, per_target: int, by_mean: int
) -> int:
    """How many candidates a limit leaves room for.

    Raises:
        ArgumentError: Not even the first ones.
    """
    first = min(pool, targets * per_target + by_mean)
    least = needed(targets, pool, k, first)
    if least > memory:
        raise ArgumentError(
            f"memory_limit: {counted(k, 'row')} for {counted(targets, 'target')} from {pool:,} "
            f"take {least / 2**30:.2f} GiB beside the pool, and the limit leaves "
            f"{memory / 2**30:.2f} GiB. Raise it, lower k, or give fewer targets."
        )
    return first + (memory - least) // (12 * targets)
