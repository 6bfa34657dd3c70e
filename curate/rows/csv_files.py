"""CSV and TSV to rows of text: guessing types would turn the answer "007" into the number 7."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from airrep.console.wording import counted
from airrep.errors import FileFormatError
from curate.rows.bad_rows import BadRows
from curate.rows.streams import LONGEST_LINE, lines_of, opened

_OLD_BREAK = re.compile(r"(?<=\r)(?!\n)")
_WRONG = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of a byte that is not UTF-8


def read_csv(path: Path, bad: BadRows) -> Iterator[dict[str, str]]:
    """The rows of a file with a header; cells that are missing at the end of a row are empty.

    Raises:
        FileFormatError: The header is missing or wrong; a quote is never closed; a row cannot be
            read, and rows are not skipped.
        OSError: The file cannot be read.
    """
    csv.field_size_limit(LONGEST_LINE)
    tabs = ".tsv" in [suffix.lower() for suffix in path.suffixes[-2:]]
    with opened(path) as stream:
        text = _Text(lines_of(stream, str(path)))
        reader = csv.reader(text, delimiter="\t" if tabs else ",")
        names = _header(reader, text, str(path))
        row = 0
        while True:
            begun = text.line + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise _unreadable(path, str(error), begun) from None
            if cells is None:
                return
            if text.ended:
                raise _unreadable(path, "a quote that opens there is never closed", begun)
            if not cells:
                continue
            problem = _problem(cells, names)
            if problem:
                bad.add(row, problem, ",".join(cells), line=begun)
            yield {} if problem else dict(zip(names, cells + [""] * len(names), strict=False))
            row += 1


class _Text:
    """Lines as the csv module takes them, which tells when it asks for one after the last."""

    def __init__(self, numbered: Iterable[tuple[int, bytes]]) -> None:
        self.line = 0
        self.ended = False
        self._lines = self._decoded(numbered)

    def _decoded(self, numbered: Iterable[tuple[int, bytes]]) -> Iterator[str]:
        for number, line in numbered:
            self.line = number
            text = line.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape")
            yield from filter(None, _OLD_BREAK.split(text))
        self.ended = True

    def __iter__(self) -> Iterator[str]:
        return self._lines


def _header(reader: Iterator[list[str]], text: _Text, path: str) -> list[str]:
    try:
        found = next((cells for cells in reader if cells), None)
    except csv.Error as error:
        raise _unreadable(path, str(error), 1) from None
    if found is None:
        raise FileFormatError(f"{path}: not a readable CSV file (it is empty).")
    if text.ended:
        raise _unreadable(path, "a quote that opens there is never closed", 1)
    if any(map(_WRONG.search, found)):
        raise FileFormatError("not UTF-8", where=f"{path}, line 1", remedy="Save it as UTF-8")
    names = [name or f"Unnamed: {place}" for place, name in enumerate(found)]
    if double := [name for name in names if names.count(name) > 1]:
        raise FileFormatError(
            f"{path}: the header names the column {double[0]!r} twice; rename one of them."
        )
    return names


def _unreadable(path: Path | str, reason: str, line: int) -> FileFormatError:
    return FileFormatError(f"{path}, line {line}: not a readable CSV file ({reason}).")


def _problem(cells: list[str], names: list[str]) -> FileFormatError | None:
    if len(cells) > len(names):
        return FileFormatError(
            f"the header names {counted(len(names), 'column')}, and this row has "
            f"{counted(len(cells), 'cell')}",
            remedy="Name every column, and quote cells that hold the separator",
        )
    if any(map(_WRONG.search, cells)):
        return FileFormatError("not UTF-8", remedy="Save the file as UTF-8")
    return None
