"""Conditions on a selection: budgets, quotas, shares, rows that must or must not be in.

    Constraints ── bind ──► BoundConstraints ── begin ──► ConstrainedPass
    what the user says      to the rows of one pool       which rows may be picked now

`docs/constraints.md` states the rules; `remaining.py` proves that they can be kept.
"""

from selection.constraints.bound import BoundConstraints
from selection.constraints.passes import ConstrainedPass, FreePass, Pass
from selection.constraints.request import Constraints
from selection.constraints.standing import Standing, standings

__all__ = [
    "BoundConstraints",
    "ConstrainedPass",
    "Constraints",
    "FreePass",
    "Pass",
    "Standing",
    "standings",
]
