"""Spelling of a command line: short options, dashes, bare booleans; typing errors are named.

The parser behind it knows one form of every option, `--on_bad_row VALUE`. Here `--on-bad-row
VALUE`, `-k 100`, `--progress`, `--no-progress` and `-q` become that form.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from airrep.errors import ArgumentError

_SHORT = {"-k": "--k", "-o": "--output", "-q": "--progress=false", "-V": "--version"}
_PARSERS_OWN = ("config", "help", "print_config", "version")
_TRUTHS = [[word] for word in ("true", "false", "yes", "no", "True", "False")]


@dataclass(frozen=True)
class Options:
    """The options of one verb.

    Attributes:
        valued: Names of those that take a value, booleans among them.
        booleans: Names of those that are true or false.
        flags: Names of those that take no value.
    """

    valued: Collection[str]
    booleans: Collection[str] = ()
    flags: Collection[str] = ()


def spelled(words: Sequence[str], options: Options) -> list[str]:
    """The words after a verb as the parser knows them.

    Args:
        words: As they were typed.
        options: Those of the verb.

    Raises:
        ArgumentError: An option that the verb does not have, or one that is given twice.

    Example:
        >>> spelled(["-k", "5", "--on-bad-row", "skip"], Options(["k", "on_bad_row"]))
        ['--k', '5', '--on_bad_row', 'skip']
    """
    made: list[str] = []
    seen: set[str] = set()
    rest = list(words)
    while rest:
        word = _long(rest.pop(0), options)
        if word == "--":
            return [*made, word, *rest]
        if not word.startswith("--"):
            if word.startswith("-") and word not in ("-", "-h") and not _is_number(word):
                raise ArgumentError(f"{word} is unknown; --help lists all")
            made.append(word)
            continue
        first, whole, value = _parts(word, options)
        if whole in seen:
            raise ArgumentError(
                f"--{whole} is given more than once and takes one value; give it once"
            )
        if first not in _PARSERS_OWN and not whole.endswith("+") and first not in options.flags:
            seen.add(whole)
        if value is None and first in options.booleans and rest[:1] not in _TRUTHS:
            value = "true"
        made.append(f"--{whole}" if value is None else f"--{whole}={value}")
        if value is None and first not in options.flags and first not in _PARSERS_OWN[1:]:
            made += rest[:1]  # its value, whatever it looks like
            del rest[:1]
    return made


def _parts(word: str, options: Options) -> tuple[str, str, str | None]:
    """An option's name, the same with the key or the sign after it, and the value after "="."""
    name, equals, value = word[2:].partition("=")
    first, dot, key = name.partition(".")
    plus = "+" * first.endswith("+")  # adds to a list
    first = first.removesuffix("+").replace("-", "_")
    if not equals and first.startswith("no_") and first[3:] in options.booleans:
        return first[3:], first[3:], "false"
    known = {*options.valued, *options.flags}
    if first not in known and first not in _PARSERS_OWN:
        raise ArgumentError(f"--{first} is unknown{closest(first, known, '--')}; --help lists all")
    return first, first + plus + dot + key, value if equals else None


def _is_number(word: str) -> bool:
    return word[1:].replace(".", "", 1).isdigit()


def closest(name: str, names: Iterable[str], before: str = "") -> str:
    """A question after the name that was probably meant, or nothing.

    Args:
        name: As it was typed.
        names: Those that there are.
        before: Text that is shown before a name.
    """
    found = get_close_matches(name, sorted(names), n=1)
    return f"; did you mean {before}{found[0]}?" if found else ""


def _long(word: str, options: Options) -> str:
    """The long form of a short option that the verb has; any other word as it is."""
    letter, equals, value = word.partition("=")
    long = _SHORT.get(letter, "")
    name = long[2:].partition("=")[0]
    return f"{long}{equals}{value}" if name in (*_PARSERS_OWN, *options.valued) else word
