"""Text of any kind into Markdown, without becoming Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

# An underscore between letters or digits starts no emphasis.
_SPECIAL = re.compile(r"([\\`*\[\]<>|~&$#]|(?<![^\W_])_|_(?![^\W_]))")


def escaped(text: str) -> str:
    """Text that is shown as it is, on one line, in a paragraph or a table's cell."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table: the first column to the left, the others to the right. Cells are Markdown."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in (head, rule, *rows))


def code_block(text: str, language: str = "") -> str:
    """A fenced block, whatever fences the text has."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
