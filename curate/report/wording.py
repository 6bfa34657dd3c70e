"""Numbers and texts for people."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

from airrep.console.wording import counted, whole_words


def points(change: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    size = abs(100 * change)
    text = f"{size:.0f}" if size >= 10 else f"{size:.1f}"
    sign = "" if float(text) == 0 else "+" if change > 0 else "−"
    return sign + text


def number(value: float, digits: int = 3) -> str:
    """A score or a gain, to so many significant digits, with a true minus sign."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    size = int(f"{value:.{digits - 1}e}".split("e")[1])  # after rounding: 0.9999 is 1.00
    if -4 <= size < 6:
        text = f"{value:,.{max(0, digits - 1 - size)}f}"
    else:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        text = f"{mantissa}e{int(exponent)}"
    return text.replace("-", "−")


def decimals(values: Iterable[float], digits: int = 3) -> int:
    """Decimals that give the largest of the values so many significant digits."""
    largest = max((abs(value) for value in values), default=0.0)
    return max(0, digits - 1 - math.floor(math.log10(largest))) if largest else digits


def fixed(value: float, places: int) -> str:
    """A number with so many decimals and a true minus sign."""
    text = f"{value:,.{places}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) else text.lstrip("-")


def duration(seconds: float) -> str:
    """Seconds for people: "0.02 s", "14 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds >= 0.01 else "< 0.01 s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def ordinal(place: int) -> str:
    """1st, 2nd, 3rd, 11th."""
    if place % 100 in (11, 12, 13):
        return f"{place:,}th"
    return f"{place:,}{({1: 'st', 2: 'nd', 3: 'rd'}).get(place % 10, 'th')}"


def cut(text: str, size: int, whole: int | None = None) -> str:
    """The text, cut after a word so that its HTML has at most so many bytes, and by how much.

    Args:
        text: Any text, perhaps the beginning of a longer one.
        size: Bytes that it may take, the note about what is missing not counted.
        whole: Characters of the longer one.
    """
    whole = len(text) if whole is None else whole
    kept = text[: _fitting(text, size)]
    if len(kept) == whole:
        return text
    kept = kept.rstrip()
    return f"{kept}… [{counted(whole - len(kept), 'more character')}]"


def on_a_line(text: str, size: int) -> str:
    """The text on one line, its end left out if its HTML has more bytes than that."""
    flat = " ".join(text.split())
    kept = flat[: _fitting(flat, size)]
    return flat if kept == flat else kept.rstrip() + "…"


def escaped_size(text: str) -> int:
    """Bytes that a text takes in HTML."""
    return len(html.escape(text).encode("utf-8"))


def _fitting(text: str, size: int) -> int:
    """How many characters of the text fit into so many bytes of HTML: to the end of a word."""
    if escaped_size(text) <= size:
        return len(text)
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if escaped_size(text[:middle]) <= size else (low, middle - 1)
    return whole_words(text, low)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a plain table: the first column to the left, numbers to the right."""
    widths = [max(len(line[i]) for line in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        rest = (f"{cell:>{width}}" for cell, width in zip(cells[1:], widths[1:], strict=True))
        return "  ".join([f"{cells[0]:<{widths[0]}}", *rest]).rstrip()

    return [line(header), *(line(row) for row in rows)]
