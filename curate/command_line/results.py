"""Show the result of a verb on the command line, as text or as one JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from airrep.console.wording import counted


def as_text(verb: str, options: Mapping[str, Any], result: Any) -> str:  # noqa: ANN401
    """What a verb made, for people.

    Args:
        verb: Name of the verb.
        options: Options that it was given.
        result: What it returned.
    """
    output = options.get("output")
    match verb:
        case "select" | "harmful":
            nothing = "nothing written; name a directory with --output"
            return f"{result.summary()}\n{f'wrote   {output}' if output else nothing}"
        case "embed":
            return (
                f"{counted(len(result), 'row')} in {options['store']}: {result.reused:,} found "
                f"there or repeating another row, {result.encoded:,} encoded ({result.changed:,} "
                "of them changed)"
            )
        case "record":
            wrote = "nothing recorded" if options.get("dry_run") else f"wrote   {output}"
            return f"{result.summary()}\n{wrote}"
        case "lds":
            named = options.get("scorer", "airrep")
            scorer = named if isinstance(named, str) else " + ".join(named)
            return f"{options.get('scores') or scorer}: LDS {result}"
        case "report":
            return f"wrote   {result}"
        case "trial":
            return f"{result}\nwrote   {output}" if output else str(result)
        case "benchmark" | "train":
            return f"{result}\nwrote   {output}"
    return str(result)


def as_json(verb: str, options: Mapping[str, Any], result: Any) -> str:  # noqa: ANN401
    """What a verb found, as one JSON object; docs/command-line.md says which fields it has."""
    match verb:
        case "select" | "harmful":
            insight = result.insight
            chosen = insight.selection.indices.tolist()
            found = {
                "output": options.get("output"),
                "rows": insight.rows[chosen].tolist(),
                "ids": [insight.ids[position] for position in chosen],
                "guard": result.guard.to_dict(),
                "manifest": result.manifest.to_dict(),
            }
        case "check" | "compare" | "trial":
            found = result.to_dict()
        case "verify":
            found = {
                "fine": result.fine,
                "places": [
                    {"directory": place.directory, "kind": place.kind, "note": place.note}
                    for place in result.places
                ],
                "findings": result.findings,
                "mended": result.mended,
            }
        case _:
            found = result
    text = msgspec.json.encode(found, enc_hook=_plain).decode()
    return text.translate({code: f"\\u{code:04x}" for code in range(127, 160)})


def _plain(value: Any) -> Any:  # noqa: ANN401
    """A value that JSON has no word for: an array, a repair that could be made, a path."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return True if callable(value) else str(value)
