"""Rows that cannot be read: they are errors, or they are noted and keep their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from airrep.console.wording import named, shortened
from airrep.errors import CurateError, FileFormatError

STANDARD_INPUT = "standard input"  # what rows from there are called, also in manifests
OnBadRow = Literal["error", "skip"]
_SHOWN = 500


@dataclass(frozen=True)
class SkippedRow:
    """A row that was left out.

    Attributes:
        file: The file (or the collection) that holds it.
        row: Its number there, from 0.
        reason: Why it was left out.
        content: What it holds, shortened; "" if that cannot be shown.
    """

    file: str
    row: int
    reason: str
    content: str = ""

    def __str__(self) -> str:
        """The place without the folders that lead to it, and the reason."""
        return f"{row_of(named(self.file), self.row)}: {self.reason}"


@dataclass(frozen=True)
class Unreadable:
    """What is known of a row that is empty in the table because it could not be read."""

    reason: str
    content: str


class BadRows:
    """What is done with the rows of one file, or of one collection, that cannot be read.

    Attributes:
        found: Number of the row, from 0, to what is known of it.
    """

    def __init__(self, name: str, on_bad_row: OnBadRow = "error") -> None:
        """Note them, or raise an error for the first one.

        Args:
            name: What the file or the collection is called in messages.
            on_bad_row: "skip" to note them.
        """
        self.name = name
        self.found: dict[int, Unreadable] = {}
        self._skip = on_bad_row == "skip"

    def add(
        self, row: int, error: CurateError, content: object = "", *, line: int | None = None
    ) -> None:
        """Note a row, or raise the error with its place.

        Args:
            row: Number of the row, from 0.
            error: What is wrong with it; it names no place.
            content: The row as it was found.
            line: Number of its line in the file, from 1, where the file has lines.

        Raises:
            CurateError: Rows are not skipped.
        """
        if not self._skip:
            where = row_of(self.name, row) if line is None else f"{self.name}, line {line}"
            raise error.at(where) from None
        if line is not None:
            error.at(f"line {line}")
        self.found[row] = Unreadable(str(error), content_of(content))

    def add_line(self, row: int, line: int, problem: str, content: bytes | str) -> None:
        """Note a row that one line of a text file holds, or raise an error."""
        self.add(row, FileFormatError(problem), content, line=line)


def content_of(row: object) -> str:
    """The beginning of a row, as text that can be written to a file."""
    if isinstance(row, bytes):
        row = row[: 4 * _SHOWN].decode("utf-8", "backslashreplace")
    try:
        text = row if isinstance(row, str) else repr(row)
    except (ValueError, RecursionError):  # integers of thousands of digits; lists in themselves
        return ""
    return shortened(text[: 4 * _SHOWN], _SHOWN).encode("utf-8", "backslashreplace").decode()


def row_of(place: str, number: int) -> str:
    """How a row is called in messages."""
    return f"{place}, row {number} (counting from 0)"
