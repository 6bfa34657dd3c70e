"""The texts of `explain --tokens`: the tokens of a pool row, with their shares in its influence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from airrep.console.wording import counted, shortened
from curate.report.explanation import wrapped
from curate.report.wording import number

_SHOWN = 6  # tokens for and against
_TEXT = 280  # characters shown of a target and of a prompt
_COMPLETION = 2000  # characters shown of the completion


@dataclass(frozen=True)
class TokenShare:
    """A token of a completion, and its share of the row's influence.

    Attributes:
        text: The token as text; of a character that several tokens make together, all of them.
        share: By how many nats the row's influence is larger because of it; below 0 it speaks
            against the target.
    """

    text: str
    share: float


@dataclass(frozen=True)
class TokenExplanation:
    """How a row's influence on a target divides over the tokens of its completion.

    Attributes:
        id: Id of the row.
        target: Id of the target.
        influence: The row's influence on the target in nats, the sum of the tokens' shares; above
            0, training on the row lowers the target's loss.
        tokens: The tokens of the completion, in order, with the end of the text.
        prompt: The row's prompt.
        asked: The target's text, on one line.
        model: Name of the model whose gradients these are.
    """

    id: str
    target: str
    influence: float
    tokens: tuple[TokenShare, ...]
    prompt: str
    asked: str
    model: str

    @property
    def most(self) -> list[int]:
        """Positions of the tokens that speak most for the target, the most first."""
        return self._first(-1)

    @property
    def least(self) -> list[int]:
        """Positions of the tokens that speak most against the target, the most first."""
        return self._first(1)

    def _first(self, sign: int) -> list[int]:
        found = [i for i, each in enumerate(self.tokens) if sign * each.share < 0]
        return sorted(found, key=lambda i: sign * self.tokens[i].share)[:_SHOWN]

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _lines(it: TokenExplanation) -> Iterator[str]:
    does = "lowers" if it.influence > 0 else "does not lower"
    yield (
        f"row {it.id} and target {it.target}: influence {number(it.influence)} nats over "
        f"{counted(len(it.tokens), 'token')}, by {it.model}; training on the row {does} its loss"
    )
    yield from wrapped(shortened(it.asked, _TEXT), "  target     ")
    if prompt := shortened(it.prompt, _TEXT):
        yield from wrapped(prompt, "  prompt     ")
    yield from wrapped(shortened(_marked(it), _COMPLETION), "  completion ")
    yield from _listed("tokens that speak most for the target, [+ ] above", it.most, it.tokens)
    yield from _listed("tokens that speak most against it, [- ] above", it.least, it.tokens)


def _marked(it: TokenExplanation) -> str:
    marks = dict.fromkeys(it.most, "+") | dict.fromkeys(it.least, "-")
    return "".join(
        _in_brackets(each.text, marks[i]) if i in marks else each.text
        for i, each in enumerate(it.tokens)
    )


def _in_brackets(text: str, mark: str) -> str:
    """A token with its mark; the space that begins a word stays before it."""
    word = text.lstrip()
    return f"{text[: len(text) - len(word)]}[{mark}{word}]"


def _listed(title: str, positions: Sequence[int], tokens: Sequence[TokenShare]) -> Iterator[str]:
    yield from ("", title)
    for i in positions:
        text = json.dumps(tokens[i].text, ensure_ascii=False)
        yield f"  {number(tokens[i].share):>9}  {text}, the token {i + 1:,} of {len(tokens):,}"
    if not positions:
        yield "  none"
