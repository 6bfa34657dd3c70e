"""The constraints that a selection was made under, and how it stands with each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airrep.console.wording import counted
from airrep.schema import converted
from selection.constraints.standing import Standing


def kept_constraints(manifest: Mapping[str, Any]) -> list[Standing]:
    """How the selection stands with each: first what is not met, then what is at a bound.

    Args:
        manifest: As plain values; older ones name no constraints.
    """
    found = converted(manifest["chosen"].get("constraints") or [], list[Standing])
    return sorted(found, key=lambda each: (each.met, not each.binds))


def in_words(standings: list[Standing]) -> str:
    """How many there are, and how many of them are not met or at a bound."""
    broken = sum(not each.met for each in standings)
    bound = sum(each.binds for each in standings if each.met)
    if broken:
        number = counted(len(standings), "constraint")
        return f"{broken:,} of {number} {'is' if broken == 1 else 'are'} not met."
    met = "The one constraint is met"
    if len(standings) > 1:
        met = f"All {counted(len(standings), 'constraint')} are met"
    if not bound:
        return f"{met}."
    where = "its bound" if bound == 1 else "their bounds"
    if len(standings) == 1:
        return f"{met}, at its bound."
    return f"{met}; {bound:,} {'is' if bound == 1 else 'are'} at {where}."
