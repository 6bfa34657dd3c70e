"""JSON to rows: lines of objects or conversations, an array, or one object that holds the rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BufferedReader, BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

from airrep.console.wording import shown
from airrep.errors import FileFormatError, RecordError
from airrep.records import normalize
from curate.rows.bad_rows import BadRows
from curate.rows.first_bytes import MOST
from curate.rows.streams import lines_of, opened

_Row = dict[str, Any]
_BOM = b"\xef\xbb\xbf"


def read_json(path: Path, bad: BadRows) -> Iterator[_Row]:
    """The rows of a file of JSON; a row that cannot be read is noted, and empty.

    Raises:
        FileFormatError: Not JSON, or no rows.
        OSError: The file cannot be read.
    """
    with opened(path) as stream:
        named_json = ".json" in [suffix.lower() for suffix in path.suffixes[-2:]]
        yield from json_rows(stream, bad, may_be_object=named_json)


def json_rows(
    stream: BufferedReader[Any], bad: BadRows, *, may_be_object: bool = False
) -> Iterator[_Row]:
    """The rows of a stream of JSON: of lines, of an array, or of one object's list.

    Args:
        stream: An open file.
        bad: What is done with rows that cannot be read.
        may_be_object: Whether an object that is alone on one line may hold the rows, rather than
            be one.

    Raises:
        FileFormatError: See `read_json`.
    """
    sign = _begin(stream.peek(MOST)[:MOST])
    if sign == b"[" or (sign == b"{" and may_be_object):
        yield from _of_any(stream.read(), bad)
        return
    lines = lines_of(stream, bad.name)
    begun = []
    for number, line in lines:
        begun.append((number, line))
        if line.strip():
            break
    if begun and _begin(begun[-1][1]) == b"{" and _first_value(begun[-1][1]) is None:
        # the first line of an object of many lines, or of lines of which it is a bad one
        yield from _of_any(b"".join(line for _, line in begun) + stream.read(), bad)
        return
    yield from _of_lines(chain(begun, lines), bad)


def _begin(content: bytes) -> bytes:
    return content.removeprefix(_BOM).lstrip()[:1]


def _of_any(content: bytes, bad: BadRows) -> Iterator[_Row]:
    """The rows of a whole file that begins with a bracket."""
    lines = (line for line in BytesIO(content) if _begin(line))
    start, more = _first_value(next(lines)), next(lines, None)
    if isinstance(start, list) or (start is not None and more is not None):
        return _of_lines(lines_of(BytesIO(content), bad.name), bad)
    if _begin(content) == b"[":
        return _Array(content, bad).items()
    rows = _rows_of_object(content, bad.name)
    return _of_lines(lines_of(BytesIO(content), bad.name), bad) if rows is None else iter(rows)


def _first_value(line: bytes) -> object:
    """What a first line holds, if it is a whole row of JSON lines; None if it is none."""
    try:
        value = _decoded(line.removeprefix(_BOM).decode().strip())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) or _is_conversation(value) else None


def _of_lines(numbered: Iterator[tuple[int, bytes]], bad: BadRows) -> Iterator[_Row]:
    row = 0
    for number, line in numbered:
        if not _begin(line):
            continue
        content = line.removeprefix(_BOM) if number == 1 else line
        try:
            yield _row(_decoded(content.decode().strip()))
        except UnicodeDecodeError as error:
            bad.add(row, _not_utf8(error), line, line=number)
            yield {}
        except (ValueError, RecursionError) as error:
            bad.add(row, _error(error), line, line=number)
            yield {}
        row += 1


def _not_utf8(error: UnicodeDecodeError) -> FileFormatError:
    return FileFormatError(f"not UTF-8 ({error.reason})", remedy="Save the file as UTF-8")


class _Array:
    """A file that is one array."""

    def __init__(self, content: bytes, bad: BadRows) -> None:
        self._bad = bad
        try:
            self.content = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise _not_utf8(error).at(f"{bad.name}, line {line}") from None

    def items(self) -> Iterator[_Row]:
        """The items of an array, one by one."""
        row, place = 0, self._after_space(self.content.index("[") + 1)
        if self.content[place : place + 1] == "]":
            self._check_end(place + 1, 0)
            return
        while True:
            value: Any = {}
            try:
                value, place = _DECODER.raw_decode(self.content, place)
                value = _row(value)
            except (json.JSONDecodeError, RecursionError) as error:
                raise self._broken(error, row, place) from None
            except FileFormatError as error:  # no object
                self._bad.add(row, error, value)
                value = {}
            except ValueError as error:  # wrong in itself, and its end can be found
                start = place
                _, place = _LENIENT.raw_decode(self.content, start)
                self._bad.add(row, _error(error), self.content[start:place])
            yield value
            row, place = row + 1, self._after_space(place)
            sign = self.content[place : place + 1]
            if sign == "]":
                self._check_end(place + 1, row)
                return
            if sign != ",":
                raise self._broken(json.JSONDecodeError("expected , or ]", "", place), row, place)
            place = self._after_space(place + 1)

    def _after_space(self, place: int) -> int:
        while self.content[place : place + 1].isspace():
            place += 1
        return place

    def _check_end(self, place: int, row: int) -> None:
        place = self._after_space(place)
        if place < len(self.content):
            error = json.JSONDecodeError("there is more after the array", "", place)
            raise self._broken(error, row, place)

    def _broken(self, error: Exception, row: int, start: int) -> FileFormatError:
        place = error.pos if isinstance(error, json.JSONDecodeError) else start
        line = self.content.count("\n", 0, place) + 1
        where = f"{self._bad.name}, item {row} (counting from 0), line {line}"
        return _error(error, counts=False).at(where)


def _object(pairs: list[tuple[str, Any]]) -> _Row:
    """An object's members; two of one name are an error, of which json would keep the last."""
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {double!r} stands twice in one object")
    return made


_DECODER = json.JSONDecoder(object_pairs_hook=_object)
_LENIENT = json.JSONDecoder(parse_int=lambda _: 0)  # only to find where a value ends


def _decoded(text: str) -> Any:  # noqa: ANN401 (any JSON)
    return _DECODER.decode(text)


def _error(error: Exception, *, counts: bool = True) -> FileFormatError:
    """What is wrong with a line or an item, in our words."""
    if isinstance(error, FileFormatError):
        return error
    if isinstance(error, RecursionError):
        return FileFormatError("nested too deeply")
    if isinstance(error, json.JSONDecodeError):
        place = f", character {error.pos}" if counts else ""
        return FileFormatError(f"not valid JSON ({error.msg}{place})")
    # a field that stands twice, a number of thousands of digits
    return FileFormatError(f"not valid JSON ({str(error).partition(';')[0]})")


def _rows_of_object(content: bytes, name: str) -> list[_Row] | None:
    """The rows that the one object of a file holds, or is; None if it is no such file."""
    try:
        value = _decoded(content.decode("utf-8-sig").strip())
    except (ValueError, RecursionError):
        return None
    return _rows_in(value, name) if isinstance(value, dict) else None


def _is_conversation(value: object) -> bool:
    """Whether it is a list of chat messages."""
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(isinstance(each, dict) and ("role" in each or "from" in each) for each in value)
    )


def _row(value: object) -> _Row:
    """A row: an object, or the messages of a conversation."""
    if _is_conversation(value):
        return {"messages": value}
    if not isinstance(value, dict):
        raise FileFormatError(f"expected a JSON object, found {type(value).__name__}")
    return value


def _rows_in(whole: _Row, name: str) -> list[_Row]:
    """The rows of an object: those of its one list of objects, or itself if it is a row."""
    try:
        normalize(whole)
    except RecordError:
        lists = [field for field, value in whole.items() if _is_list_of_objects(value)]
    else:
        return [whole]
    if len(lists) > 1:
        raise FileFormatError(
            f"the file is one JSON object with several lists of objects: {shown(lists, 200)}",
            where=name,
            remedy="Write the one that holds the rows to a file of its own",
        )
    return [_row(value) for value in whole[lists[0]]] if lists else [whole]


def _is_list_of_objects(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(isinstance(each, dict) for each in value)
        and not _is_conversation(value)
    )
