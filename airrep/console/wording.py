"""Texts for people: what is too long is shortened, and counts are said in words."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number and what it counts: 1 row, 1,234 rows.

    Args:
        number: How many.
        noun: What one of them is called.
        plural: What several are called, where that is not the noun with an s or es.
    """
    return f"{number:,} {noun_for(number, noun, plural)}"


def noun_for(number: int, noun: str, plural: str = "") -> str:
    """What so many are called, where the number itself stands apart; see `counted`."""
    ending = "es" if noun.endswith(("tch", "sh", "ss", "x")) else "s"
    return noun if number == 1 else plural or f"{noun}{ending}"


def percent(share: float) -> str:
    """A share as a percentage: a decimal where it matters, and "< 0.1%" rather than 0."""
    if share == 0:
        return "0%"
    if 0 < share < 0.001:
        return "< 0.1%"
    if 0.9995 < share < 1:
        return "> 99.9%"
    digits = 1 if share < 0.1 or 0.99 < share < 1 else 0
    return f"{100 * share:.{digits}f}%"


def shortened(text: object, size: int) -> str:
    """A text on one line, with an ellipsis after its last whole word if it is longer than `size`.

    Args:
        text: Any text, or what says something as text: an error, a path.
        size: Characters that the result has at most.
    """
    return _beginning(" ".join(str(text).split()), size)


def shown(value: object, size: int = 80) -> str:
    """A value for a message: its beginning, or its type where it cannot be written out."""
    try:
        return _beginning(repr(value), size)
    except (ValueError, RecursionError):  # integers of thousands of digits; lists that hold lists
        return f"{type(value).__name__} of enormous size"


def whole_words(text: str, size: int) -> int:
    """How many characters to keep of a text, at most `size`, so that no word is split.

    A word that takes more than half of them is split: scripts without spaces, addresses, digests.
    """
    if size >= len(text) or text[size].isspace():
        return min(size, len(text))
    ends = (place for place in range(size, size // 2, -1) if text[place - 1].isspace())
    return next(ends, size)


def named(place: str) -> str:
    """What a file, directory or model is called where others may read it.

    An absolute path says how somebody's machine is laid out, so that only its last part is shown;
    relative paths and hub ids stay as they are.
    """
    on_windows = PureWindowsPath(place)
    path = on_windows if on_windows.drive else PurePosixPath(place)
    return (path.name or place) if path.is_absolute() else place


def _beginning(text: str, size: int) -> str:
    return text if len(text) <= size else text[: whole_words(text, size - 1)].rstrip() + "…"
