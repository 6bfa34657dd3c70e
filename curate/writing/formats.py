"""Rows in the format of a trainer; what the format has no field for is an error, never lost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from airrep.errors import RecordError
from airrep.records import Example, normalize
from curate.rows.bad_rows import row_of
from curate.rows.collection import Rows, holds_media
from curate.writing.dialogue import Dialogue
from curate.writing.file_format import TrainerFormat
from curate.writing.for_trl import MEDIA
from curate.writing.trainer_rows import alpaca_row, openai_row, sharegpt_row

_WRITERS = {"openai": openai_row, "sharegpt": sharegpt_row, "alpaca": alpaca_row}
_REMEDY = (
    "Leave the row out, or write what TRL reads, which has a field for it: "
    'to="trl" (--to trl), or format="jsonl" of a selection'
)


def in_format(
    rows: Rows,
    examples: Iterable[Example],
    format: TrainerFormat,  # noqa: A002 (the field's own word)
) -> Iterator[dict[str, Any]]:
    """The examples as rows of a trainer's format, one by one.

    Each is read again, and has to say the same as the example.

    Args:
        rows: Where they come from.
        examples: Those of the rows that are written.
        format: Name of the format.

    Raises:
        RecordError: The format cannot express a row, or the rows are of several kinds.
    """
    pictures = [
        n for n in MEDIA if n in rows.dataset.column_names and holds_media(rows.dataset.features[n])
    ]
    first: Dialogue | None = None
    for example in examples:
        try:
            if pictures:
                raise RecordError(
                    f"there is no field for the pictures or sounds in {pictures[0]!r}"
                )
            dialogue = Dialogue.of(example)
            first = first or dialogue
            if _kind(dialogue) != _kind(first):
                raise RecordError(f"it is {_kind(dialogue)}, and rows before are {_kind(first)}")
            yield _row(dialogue, format)
        except (RecordError, TypeError, ValueError) as error:
            reason = error.problem if isinstance(error, RecordError) else str(error)
            raise RecordError(
                f"it cannot be written as {format}: {reason}",
                where=row_of(*rows.place(example.row)),
                remedy=_REMEDY,
            ) from error


def check_format_fits(rows: Rows, examples: Iterable[Example], format: TrainerFormat) -> None:  # noqa: A002
    """Refuse rows of which a trainer's format cannot express one; see `in_format`."""
    for _ in in_format(rows, examples, format):
        pass


def _row(dialogue: Dialogue, format: TrainerFormat) -> dict[str, Any]:  # noqa: A002
    made = _WRITERS[format](dialogue)
    read = json.loads(json.dumps(made, ensure_ascii=False, allow_nan=False))
    with suppress(RecordError):  # text that would be read as messages, say
        if Dialogue.of(normalize(read)).said == dialogue.said:
            return made
    raise RecordError("read again, it would say something else")


def _kind(dialogue: Dialogue) -> str:
    if dialogue.rejected is not None:
        return "a preference"
    return "an answer" if dialogue.label is None else "an answer with a label"
