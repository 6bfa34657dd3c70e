"""The rows that one scorer proposes to another, which costs more and looks at no others."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from airrep.errors import ArgumentError
from selection.candidates import top_rows
from selection.scores import Scores

_TENTHS = 10


def proposed(scores: Scores, n: int) -> npt.NDArray[np.int64]:
    """Positions of up to n rows, in the order in which the targets propose them.

    Every target proposes its best row, then every target its second best, and so on; a row that was
    proposed before is passed over. Among equal scores of a target the first row comes first.

    Args:
        scores: (T, N).
        n: At least 1.

    Returns:
        (min(n, N),) without repeats.

    Raises:
        ArgumentError: n is below 1.

    Example:
        >>> from selection.scores import DenseScores
        >>> proposed(DenseScores([[3, 2, 1, 0], [0, 3, 1, 2]]), 3).tolist()
        [0, 1, 3]
    """
    if n < 1:
        raise ArgumentError(f"expected at least 1 row to propose, found {n}.")
    targets, pool = scores.shape
    n = min(n, pool)
    depth = min(pool, -(-2 * n // targets))  # targets share rows: more than n / T each
    while True:
        ranked = top_rows(scores, depth).rows.T.ravel()  # first all best rows, then all second ones
        rows, places = np.unique(ranked, return_index=True)
        if len(rows) >= n or depth == pool:
            return rows[np.argsort(places)][:n].astype(np.int64)
        depth = min(pool, 2 * depth)


def late_picks(picks: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> int:
    """How many picks are among the tenth of the rows that were proposed last.

    If the two scorers have nothing in common, that is a tenth of the picks; where it is close to
    none, rows that were not proposed would hardly have been picked either.

    Args:
        picks: Positions, all of them in `rows`.
        rows: What `proposed` returned.
    """
    last = rows[len(rows) - -(-len(rows) // _TENTHS) :]
    return int(np.isin(picks, last).sum())
