"""Values of a row that have to be text."""

from __future__ import annotations

from typing import Any

from airrep.console.wording import shown
from airrep.errors import RecordError

COLUMNS_HINT = (
    'columns={"prompt": "<field>", "completion": "<field>"} '
    "(--columns.prompt <field> --columns.completion <field>)"
)


def as_text(value: Any, field: str) -> str:  # noqa: ANN401 (checked here)
    """The value itself, if it is text that can be encoded.

    Raises:
        RecordError: It is something else, or holds half of a surrogate pair.
    """
    if not isinstance(value, str):
        kind = type(value).__name__
        if isinstance(value, list | tuple) and value and all(isinstance(v, str) for v in value):
            kind = "a list of texts"
        raise RecordError(
            f"field {field!r} should be text, found {kind} "
            f"({shown(value)}). Convert it, or choose other fields with {COLUMNS_HINT}."
        )
    if value.isascii():
        return value
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RecordError(
            f"field {field!r} holds half of a surrogate pair at character {error.start}; "
            "repair the text's encoding."
        ) from None
    return value


def filled(value: Any, field: str) -> str:  # noqa: ANN401 (checked here)
    """Text that is more than white space.

    Raises:
        RecordError: It is not, or is no text.
    """
    if not as_text(value, field).strip():
        raise RecordError(f"{field!r} is empty; there is nothing to learn from it.")
    return value


def joined(*parts: str) -> str:
    """The parts that are not empty, a line each."""
    return "\n".join(part for part in parts if part)
