"""The objective's verdict on a selection's size, in words."""

from __future__ import annotations

from curate.report.wording import number
from selection.result import Selection
from selection.selectors.herding import HERDING
from selection.selectors.lowest_mean import LOWEST_MEAN


def best_size(selection: Selection) -> str:
    """After how many rows the objective was best, for the end of a sentence.

    Returns:
        "" of a selector without an objective, of rows that hurt, which nobody trains on, and of
        several layers: in each of them the objective starts anew.
    """
    curve, n, k = selection.objective, selection.best_size, len(selection)
    if curve is None or n is None or selection.method == LOWEST_MEAN or selection.layers[-1] > 0:
        return ""
    name, best, last = curve.objective.name, curve.values[n - 1], curve.values[-1]
    herded = selection.method == HERDING
    most = "largest" if curve.objective.better == "higher" else "smallest"
    if n == k:
        rows = f"all {k:,} rows" if k > 1 else "the one row"
        where = f"closest to the targets with {rows}" if herded else f"{name} {most} with {rows}"
        return f"{where} ({name} {number(float(best))})"
    later = "move the mean away" if herded else "make it worse"
    if last == best:
        later = "bring it no closer" if herded else "make it no better"
    rows = f"{n:,} rows" if n > 1 else "1 row"
    where = f"closest to the targets at {rows}" if herded else f"{name} {most} at {rows}"
    values = f"{name} {number(float(best))} there, {number(float(last))} at {k:,}"
    return f"{where}; later rows {later} ({values})"
