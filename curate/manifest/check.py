"""Validation of a manifest: it is a file that people keep, edit and pass on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from airrep.console.wording import shortened, shown
from airrep.errors import FileFormatError
from curate.manifest.provenance import MANIFEST_VERSION

_VERBS = ("select", "harmful")


def check_manifest(found: object, where: object) -> None:
    """Refuse what no run wrote.

    Args:
        found: What a JSON file holds.
        where: The file, for messages.

    Raises:
        FileFormatError: It is no manifest, or one of a newer version; says what is wrong with it.
    """
    problem = _problem(found)
    if problem:
        raise FileFormatError(f"{where} is not the manifest of a selection: {problem}.")


def _problem(found: object) -> str:
    if not isinstance(found, dict):
        return f"expected an object, found {type(found).__name__}"
    try:
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:  # of YAML, dates for instance
        return f"it holds what JSON cannot ({shortened(error, 200)})"
    return _of_kind(found) or _of_parts(found) or _of_runs(found)


def _of_kind(found: dict[str, Any]) -> str:
    number: Any = found.get("manifest_version")
    if not _is_count(number):
        return f"manifest_version should be a whole number, found {shown(number)}"
    if number > MANIFEST_VERSION:
        return (
            f"manifest_version {number:,} is newer than what this version of airrep-curate reads "
            f"({MANIFEST_VERSION}); update it"
        )
    verb = found.setdefault("verb", "select")  # which manifests of version 1 do not say
    return "" if verb in _VERBS else f"verb should be {' or '.join(_VERBS)}, found {shown(verb)}"


def _of_parts(found: dict[str, Any]) -> str:
    for name, (kind, check) in _PARTS.items():
        value = found.get(name)
        if not isinstance(value, dict) or not all(map(_is_text, value)):
            return f"{name} is missing, or no mapping"
        bad = next((key for key in value if not check(value[key])), None)
        if bad is not None:
            return f"{name}.{shortened(bad, 80)} should be {kind}, found {shown(value[bad])}"
    return ""


def _of_runs(found: dict[str, Any]) -> str:
    chosen, encoders = found["chosen"], found.get("encoders")
    for name, (kind, check) in _CHOSEN.items():
        if not check(chosen.get(name)):
            return f"chosen.{name} should be {kind}, found {shown(chosen.get(name))}"
    if not {"pool", "targets"} <= set(found["inputs"]):
        return "inputs should name the pool and the targets"
    if not _is_text(found.get("created")):
        return f"created should be a date, found {shown(found.get('created'))}"
    if encoders is None and found["manifest_version"] == 1:
        return ""
    if not isinstance(encoders, list) or not all(map(_is_encoder, encoders)):
        return "encoders should be a list of what read the rows, and how many"
    return ""


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _is_amount(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) < 1 << 63 and math.isfinite(value) and value >= 0  # type: ignore[operator,arg-type]


def _is_input(value: object) -> bool:
    return (
        isinstance(value, dict)
        and _is_text(value.get("name"))
        and _is_count(value.get("rows"))
        and _is_text(value.get("fingerprint"))
        and isinstance(value.get("skipped"), list)
        and all(map(_is_text, value["skipped"]))
    )


def _is_encoder(value: object) -> bool:
    return (
        isinstance(value, dict)
        and all(_is_text(value.get(name)) for name in ("scorer", "name", "dtype", "fingerprint"))
        and all(_is_count(value.get(name)) for name in ("encoded", "reused"))
    )


def _are_standings(value: object) -> bool:
    """Whether it is how a selection stands with constraints; manifests of old name none."""
    return value is None or (isinstance(value, list) and all(map(_is_standing, value)))


def _is_standing(value: object) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"what", "unit", "found", "least", "most"}
        and all(_is_text(value[name]) for name in ("what", "unit"))
        and _is_count(value["found"])
        and all(value[name] is None or _is_count(value[name]) for name in ("least", "most"))
    )


_Kind = tuple[str, Callable[[Any], bool]]
_PARTS: dict[str, _Kind] = {
    "arguments": ("any value", lambda value: True),
    "inputs": ("an input: its name, rows, fingerprint and skipped rows", _is_input),
    "chosen": ("any value", lambda value: True),
    "seconds": ("a number of seconds", _is_amount),
    "versions": ("text", _is_text),
}
_CHOSEN: dict[str, _Kind] = {
    "fingerprint": ("text", _is_text),
    "scorer": ("text", _is_text),
    "selector": ("text", _is_text),
    "scale": ("a number", _is_amount),
    "constraints": ("a list of how the selection stands with each", _are_standings),
}
