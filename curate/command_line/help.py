"""Plain help: what an option is for stands below its name, in lines that fit a terminal."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

_WIDTH = 98
_COLUMN = 24  # where summaries of verbs start


class HelpText:
    """A formatter for cyclopts that writes text without boxes and colors."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Write the options, or the verbs, of one kind."""
        show = _verb if panel.format == "command" else _option
        if panel.entries:
            console.file.write("\n".join([f"{panel.title}:", *map(show, panel.entries), "\n"]))

    def render_usage(self, console: Console, _: ConsoleOptions, usage: object) -> None:
        """Write how the command is typed."""
        console.file.write(f"Usage: {str(usage).strip()}\n\n")

    def render_description(self, console: Console, _: ConsoleOptions, text: object) -> None:
        """Write what the command does."""
        for paragraph in _plain(text).strip().split("\n\n"):
            console.file.write(fill(" ".join(paragraph.split()), _WIDTH) + "\n\n")


def _verb(entry: HelpEntry) -> str:
    names = f"{', '.join(entry.all_options):<{_COLUMN - 2}}"
    return _wrapped(names + _plain(entry.description), 2, _COLUMN)


def _option(entry: HelpEntry) -> str:
    names = f"{', '.join(entry.display_labels_with_metavar)}{'  (required)' * entry.required}"
    notes = [f"One of {', '.join(entry.choices)}."] if entry.choices else []
    notes += [f"Default: {entry.default}."] if entry.default is not None else []
    return f"  {names}\n" + _wrapped(" ".join([_plain(entry.description), *notes]), 6, 6)


def _wrapped(text: str, first: int, rest: int) -> str:
    return fill(" " * first + text, _WIDTH, subsequent_indent=" " * rest, break_on_hyphens=False)


def _plain(text: Any) -> str:  # noqa: ANN401 (one of cyclopts's wrappings of a text)
    return str(getattr(getattr(text, "primary_renderable", text), "plain", ""))
