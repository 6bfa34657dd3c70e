"""Layered greedy over a pool whose score matrix is never held, equal to the greedy over all of it.

    survey ──► candidates ──► greedy ──► trajectory ──► audit ──► certificate
    one pass   rows that       on them    its states     one pass   or more candidates
               look good

The greedy only sees candidates. At each of its decisions, the audit asks of every row that was
left out: would it have been picked? A row's gain is a sum over targets of functions of its scores,
so bounds that hold for many decisions at once rule out nearly all rows; the rest is computed. Rows
that would have been picked become candidates, and the greedy goes on from there.
"""

from selection.certified.greedy import certified_greedy

__all__ = ["certified_greedy"]
