"""The command line: a verb is read, run and shown; the exit status says how it went."""

from __future__ import annotations

import json
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import BoundArguments
from typing import Any, TextIO

from cyclopts import App, CycloptsError, MissingArgumentError, Token, UnknownOptionError
from cyclopts.config import Env

from airrep.console.wording import shortened
from airrep.errors import ArgumentError, CurateError
from airrep.machine.processes import rank
from curate.command_line.config import ConfigFile
from curate.command_line.results import as_json, as_text
from curate.command_line.values import closest
from curate.command_line.verbs import VERBS, application, own_options, verb

_INPUTS = (
    "pool",
    "targets",
    "test",
    "evaluation",
    "rows",
)  # options that take - for standard input
_LONGEST = 1000  # characters of a message about wrong usage
_TRUTHS = ("true", "false", "yes", "no", "True", "False")
# Control characters but for tab and line break, and halves of surrogate pairs.
_ESCAPED = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in (*range(9), *range(11, 32), *range(127, 160), *range(0xD800, 0xE000))
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status: 0 fine, 1 an error, 2 wrong usage, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    asked = " ".join(["curate", *(word for word in words[:1] if word in VERBS)])
    config, verbose = ConfigFile(), False
    try:
        options = parsed(words, config)
    except (CycloptsError, CurateError) as error:
        if isinstance(error, CycloptsError):
            error.command_chain = None  # the line starts with it
        text = shortened(error, _LONGEST).rstrip(".")
        return _complain(f"{asked}: error: {text}; {asked} --help lists all", 2)
    if options is None:
        return 0
    try:
        verbose = options["verbose"]
        with _one_line_warnings(asked):
            return _run(words[0], options, config.manifest)
    except CurateError as error:
        if verbose:
            traceback.print_exc()
        return _complain(f"{asked}: {error}", 1)
    except KeyboardInterrupt:
        return _complain("interrupted; the same command goes on from what it has written", 130)


def parsed(words: Sequence[str], config: ConfigFile) -> dict[str, Any] | None:
    """The options of a command line, after its verb; None if it asked for help, which was shown.

    Args:
        words: The command line.
        config: Reader of the file that --config names.

    Raises:
        CycloptsError: An option or a value is wrong or missing.
        CurateError: The config file cannot be used, or the command line makes no sense.
    """
    if any("\ud800" <= character <= "\udfff" for word in words for character in word):
        raise ArgumentError("an argument is not UTF-8; rename the file that it names")
    if not words:
        raise ArgumentError("a verb is missing")
    if words[0] not in VERBS and not words[0].startswith("-"):
        expected = f"expected one of {', '.join(VERBS)}"
        raise ArgumentError(f"{words[0]!r} is no verb{closest(words[0], VERBS)}; {expected}")
    asked = VERBS if words[0] == "--install-completion" else words[:1]
    bound = _bound(application(asked, (config, Env("CURATE_", command=False))), words)
    if bound is None:
        return None
    bound.apply_defaults()
    options = dict(bound.arguments)
    piped = [f"--{name}" for name in _INPUTS if options.get(name) == "-"]
    if len(piped) > 1:
        raise ArgumentError(f"only one of {' and '.join(piped)} can be standard input (-)")
    if "leaks" in (options.get("fail_on") or ()) and not (options["targets"] or options["test"]):
        raise ArgumentError("--fail-on leaks needs --targets or --test, of which leaks would be")
    return options


def _bound(app: App, words: Sequence[str]) -> BoundArguments | None:
    """What cyclopts makes of the words; None if help or the like was asked for, and was shown."""
    joined: list[str] = []
    for word in words:  # what is true or false needs no value, and may be given one for all that
        if joined and joined[-1] == "--progress" and word in _TRUTHS:
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    try:
        command, bound, _ = app.parse_args(joined, exit_on_error=False, print_error=False)
    except MissingArgumentError as error:  # perhaps because it was mistyped
        unknown = [word for word in error.unused_tokens or () if word.startswith("-")]
        if not unknown or error.app is None:
            raise
        raise UnknownOptionError(
            token=Token(keyword=unknown[0].partition("=")[0], source="cli"),
            argument_collection=error.app.assemble_argument_collection(),
        ) from error
    return bound if command(*bound.args, **bound.kwargs) else None


def _run(name: str, options: dict[str, Any], manifest: dict[str, Any] | None) -> int:
    own = {each: options.pop(each) for each in own_options(name)}
    if own["quiet"] and "progress" in options:
        options["progress"] = False
    began = time.perf_counter()
    result = verb(name)(**_with_standard_input(options))
    if rank() == 0:
        show = as_json if own.get("json") else as_text
        _write(sys.stdout, show(name, options, result))
    if own["verbose"]:
        _show_times(result, time.perf_counter() - began)
    found = [what for what in own.get("fail_on") or () if result.counts[what]]
    if found:
        return _complain(f"curate {name}: found {' and '.join(found)}", 1)
    if not getattr(result, "fine", True):
        return 1  # what was verified is damaged
    return _compare(manifest, result)


def _with_standard_input(options: Mapping[str, Any]) -> dict[str, Any]:
    piped = [name for name in _INPUTS if options.get(name) == "-"]
    if not piped:
        return dict(options)
    from curate.rows.io import rows_from_standard_input  # here, because it brings datasets

    return {**options, piped[0]: rows_from_standard_input(options.get("on_bad_row", "error"))}


def _compare(manifest: dict[str, Any] | None, result: object) -> int:
    """After a run from a manifest: did it choose the same rows?"""
    from curate.manifest.provenance import differences  # here, because they bring numpy, datasets
    from curate.training_set import TrainingSet

    if manifest is None or not isinstance(result, TrainingSet):
        return 0
    repeated = json.loads(json.dumps(result.manifest.to_dict()))
    if repeated["arguments"] != manifest["arguments"]:
        return 0  # options beside the manifest changed the run on purpose
    found = differences(manifest, repeated)
    if not found:
        sys.stdout.write("same rows as in the manifest\n")
        return 0
    return _complain("not the manifest's selection: " + "; ".join(found), 1)


def _show_times(result: object, seconds: float) -> None:
    stages = getattr(getattr(result, "manifest", None), "seconds", {})
    for stage, taken in {**stages, "in all": seconds}.items():
        sys.stderr.write(f"{stage:<8}{taken:10.3f} s\n")


def _complain(text: str, status: int) -> int:
    _write(sys.stderr, text)
    return status


def _write(stream: TextIO, text: str) -> None:
    """Write a line without characters that steer a terminal, or that it cannot be sent."""
    text = text.translate(_ESCAPED)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except (
        UnicodeEncodeError
    ):  # as JSON writes characters that are not ASCII, which others read too
        text = "".join(c if c.isascii() else json.dumps(c)[1:-1] for c in text)
    stream.write(text + "\n")


@contextmanager
def _one_line_warnings(asked: str) -> Iterator[None]:
    """Our warnings are for whoever typed the command, who has no use for a line of our code."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if category is UserWarning:
            _complain(f"{asked}: warning: {message}", 0)
        else:
            usual(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        usual, warnings.showwarning = warnings.showwarning, show
        yield


if __name__ == "__main__":
    sys.exit(main())
