"""The command line: verbs, options and help come from the API's own signatures."""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

import docstring_parser
from jsonargparse import ArgumentParser, set_loader
from jsonargparse.typing import restricted_string_type

from airrep.console.wording import counted
from airrep.errors import ArgumentError, CurateError, FileFormatError, MissingInputError
from airrep.machine.processes import rank
from airrep.version import __version__
from curate.configs.yaml_text import config_text, read_yaml, read_yaml_file
from curate.manifest.check import check_manifest
from curate.manifest.provenance import differences
from curate.spelling import Options, closest, spelled

_DESCRIPTION = "Choose the training examples that help a language model most."
# Where each verb is defined; a module is imported when its verb is asked for.
VERBS: Mapping[str, str] = {
    "select": "curate.verbs.select",
    "harmful": "curate.verbs.harmful",
    "check": "curate.verbs.check",
    "embed": "curate.verbs.embed",
    "record": "curate.verbs.record",
    "lds": "curate.verbs.lds",
    "benchmark": "curate.verbs.benchmark",
    "train": "curate.verbs.train",
    "fit": "curate.verbs.fit",
    "demo": "curate.demo",
    "report": "curate.report.saved",
    "explain": "curate.report.saved",
    "verify": "curate.verification.directory",
}
# Parameters that follow the verb without a name.
_POSITIONAL = {"report": ("directory",), "explain": ("directory", "name"), "verify": ("directory",)}
# Options without a value.
_FLAGS = {
    "select": ("overwrite",),
    "harmful": ("overwrite",),
    "explain": ("target",),
    "verify": ("repair",),
}
# Verbs that are given a config, not a file of options; and where it is explained.
_CONFIG_FIRST = {"benchmark": "docs/evidence.md", "train": "docs/training.md"}
NpyFile = restricted_string_type("NpyFile", r".*\.npy", "the name of a .npy file")
# What a command line can hold of the types that also take Python objects.
_AS_TEXT: Mapping[str, Any] = {
    "Source": str,
    "Source | None": str | None,
    "Constraints | Mapping[str, Any] | None": dict[str, Any] | None,
    "str | Path": str,
    "str | Path | None": str | None,
    "str | Path | AirRep | None": str | None,
    "str | Path | Encoder | tuple[OwnArray, OwnArray] | None": "list[NpyFile] | str | None",
    "str | Path | LanguageModel | None": str | None,
    "str | Path | npt.NDArray[np.floating] | None": str | None,
    "ScorerName | Sequence[ScorerName] | OwnArray | Scorer": (
        "ScorerName | NpyFile | list[ScorerName | NpyFile]"
    ),
    "SelectorName | Selector | None": "SelectorName | None",
}
# Control characters but for tab and line break, and halves of surrogate pairs.
_ESCAPED = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in (*range(9), *range(11, 32), *range(127, 160), *range(0xD800, 0xE000))
}


# What the parser says of a value that is of none of the types that an option takes.
_OF_NO_TYPE = re.compile(r'Parser key "([\w.]+)": Does not validate .*Given value: (.*)')


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status: 0 fine, 1 an error, 2 wrong usage, 130 interrupted."""
    given = list(sys.argv[1:] if argv is None else argv)
    if any(not _is_text(argument) for argument in given):
        return _complain("curate: an argument is not UTF-8; rename the file that it names", 2)
    if trouble := _unreadable_config(given):
        return _complain(f"curate: {trouble}", 2)
    name, *words = given or [""]
    if name not in VERBS and not name.startswith("-"):
        listed = ", ".join(VERBS)
        what = f"{name!r} is no verb{closest(name, VERBS)}" if name else "a verb is missing"
        return _complain(f"curate: error: {what}; expected one of {listed}", 2)
    try:
        words = spelled(words, _options(name)) if name in VERBS else words
    except ArgumentError as error:
        return _complain(f"curate {name}: error: {error}", 2)
    parsed = parser(given[:1]).parse_args(["--version" if name == "-V" else name, *words])
    options = parsed[parsed.verb].as_dict()
    config = [] if parsed.verb in _CONFIG_FIRST else options.pop("config", None) or []
    try:
        recorded = _manifest(str(config[-1])) if config else None
        if recorded is not None and recorded["verb"] != parsed.verb:
            return _complain(
                f"this manifest is repeated by curate {recorded['verb']} --config …", 2
            )
        result = verb(parsed.verb)(**options)
        if rank() == 0:
            _show(parsed.verb, options, result)
        if not getattr(result, "fine", True):
            return 1  # what was verified is damaged
        return _compare(recorded, result)
    except CurateError as error:
        return _complain(f"curate {parsed.verb}: {error}", 1)
    except KeyboardInterrupt:
        return _complain("interrupted; the same command goes on from what it has written", 130)


def verb(name: str) -> Callable[..., Any]:
    """The function that a verb calls."""
    found: Callable[..., Any] = getattr(import_module(VERBS[name]), name)
    return found


class _Parser(ArgumentParser):
    """Says what is wrong in one line, and quotes options without what steers a terminal."""

    asked = "curate"  # what was typed: the program, and its verb

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        text = " ".join(message.split())
        if value := _OF_NO_TYPE.search(text):
            text = f"--{value[1]} does not take {value[2]}"
        sys.exit(_complain(f"{self.asked}: error: {text}; {self.asked} --help lists all", 2))


def parser(first: Sequence[str]) -> ArgumentParser:
    """The parser of all verbs; only the verb that is the first argument, if one is, has options."""
    set_loader("curate", _load_config, exceptions=(FileFormatError,))
    made = _Parser(
        prog="curate", description=_DESCRIPTION, version=__version__, parser_mode="curate"
    )
    made.asked = " ".join(["curate", *(name for name in first[:1] if name in VERBS)])
    verbs = made.add_subcommands(dest="verb", metavar="VERB")
    for name in VERBS:
        summary = _summary(name)
        each = _Parser(prog=f"curate {name}", description=summary, parser_mode="curate")
        each.asked = each.prog
        if name in first:
            _add_options(each, name, verb(name))
        verbs.add_subcommand(name, each, help=summary)
    return made


def _summary(name: str) -> str:
    """The first line of a verb's docstring, read without importing what the verb needs."""
    module = Path(__file__).parents[1].joinpath(*VERBS[name].split(".")).with_suffix(".py")
    defined = ast.parse(module.read_text("utf-8")).body
    (function,) = (d for d in defined if isinstance(d, ast.FunctionDef) and d.name == name)
    return (ast.get_docstring(function) or "").split("\n")[0]


def _options(name: str) -> Options:
    """The options of a verb, from its signature."""
    parameters = inspect.signature(verb(name)).parameters
    flags, positional = _FLAGS.get(name, ()), _POSITIONAL.get(name, ())
    valued = [each for each in parameters if each not in flags and each not in positional]
    booleans = [each for each in valued if parameters[each].annotation == "bool"]
    return Options(valued, booleans, flags)


def _add_options(made: ArgumentParser, name: str, function: Callable[..., Any]) -> None:
    if name in _CONFIG_FIRST:
        explained = f"YAML file; {_CONFIG_FIRST[name]} has an example"
        made.add_argument("config", type=str, help=explained)
    elif name not in _POSITIONAL:
        made.add_argument("--config", action="config", help="YAML or JSON file, or a manifest")
    positional, flags = _POSITIONAL.get(name, ()), _FLAGS.get(name, ())
    for parameter in docstring_parser.parse(inspect.getdoc(function) or "").params:
        if parameter.arg_name in positional:
            made.add_argument(parameter.arg_name, type=str, help=parameter.description)
        elif parameter.arg_name in flags:
            option = f"--{parameter.arg_name}"
            made.add_argument(option, action="store_true", help=parameter.description)
    made.add_function_arguments(
        _command(function), nested_key=None, as_group=False, skip={"config", *positional, *flags}
    )


def _command(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a signature that a command line can fill; names and help stay its own."""

    def command(**options: Any) -> Any:  # noqa: ANN401
        return function(**options)

    shown = {"progress": True}  # a bar on a terminal, a line now and then in a log
    given = inspect.signature(function).parameters.values()
    command.__annotations__ = {p.name: _AS_TEXT.get(p.annotation, p.annotation) for p in given}
    known = {**vars(sys.modules["curate.cli"]), **vars(sys.modules[function.__module__])}
    types = get_type_hints(command, known)
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            parameter.replace(
                annotation=types[parameter.name],
                default=shown.get(parameter.name, parameter.default),
                kind=inspect.Parameter.KEYWORD_ONLY,
            )
            for parameter in given
        ]
    )
    command.__doc__ = function.__doc__
    return command


def _load_config(text: str) -> Any:  # noqa: ANN401 (whatever YAML holds)
    """A config file's content; of a manifest, the arguments it records."""
    content = read_yaml(text)
    if isinstance(content, dict) and "manifest_version" in content:
        check_manifest(content, "the manifest")
        return content["arguments"]
    return content


def _unreadable_config(given: Sequence[str]) -> str:
    """What keeps a config file from being read at all, which the parser would end or wait in."""
    for option, following in pairwise([*given, ""]):
        name, equals, value = option.partition("=")
        if name == "--config":
            file = value if equals else following
            try:
                config_text(file)
            except (ArgumentError, FileFormatError) as error:
                return str(error)
            except MissingInputError as error:
                if "\0" in file:  # of other files that are not there the parser speaks
                    return str(error)
    return ""


def _manifest(path: str) -> dict[str, Any] | None:
    content = read_yaml_file(path)
    if not isinstance(content, dict) or "manifest_version" not in content:
        return None
    check_manifest(content, path)
    return content


def _compare(manifest: dict[str, Any] | None, result: object) -> int:
    """After a run from a manifest: did it choose the same rows?"""
    from curate.training_set import TrainingSet  # here, because it brings datasets

    if manifest is None or not isinstance(result, TrainingSet):
        return 0
    repeated = json.loads(json.dumps(result.manifest.to_dict()))
    if repeated["arguments"] != manifest["arguments"]:
        return 0  # options beside the manifest changed the run on purpose
    found = differences(manifest, repeated)
    if not found:
        _say("same rows as in the manifest")
        return 0
    return _complain("not the manifest's selection: " + "; ".join(found), 1)


def _show(verb: str, options: Mapping[str, Any], result: Any) -> None:  # noqa: ANN401
    if verb in ("select", "harmful"):
        _say(result.summary())
        output = options["output"]
        _say(f"wrote   {output}" if output else "nothing written; name a directory with --output")
    elif verb == "embed":
        _say(
            f"{counted(len(result), 'row')} in {options['store']}: {result.reused:,} found there "
            f"or repeating another row, {result.encoded:,} encoded ({result.changed:,} of them "
            "changed)"
        )
    elif verb == "record":
        _say(result.summary())
        _say(f"wrote   {options['output']}")
    elif verb == "lds":
        named = options["scorer"]
        scorer = named if isinstance(named, str) else " + ".join(named)
        _say(f"{options['scores'] or scorer}: LDS {result}")
    elif verb == "report":
        _say(f"wrote   {result}")
    elif verb in _CONFIG_FIRST:
        _say(str(result))
        _say(f"wrote   {options['output']}")
    else:
        _say(str(result))


def _say(text: str) -> None:
    sys.stdout.write(_printable(text) + "\n")


def _complain(text: str, status: int) -> int:
    sys.stderr.write(_printable(text) + "\n")
    return status


def _is_text(argument: str) -> bool:
    """Whether it can be written to a manifest; a file's name on Linux may be any bytes."""
    return not any("\ud800" <= character <= "\udfff" for character in argument)


def _printable(text: str) -> str:
    """A text without characters that steer a terminal, or that it cannot be sent."""
    return text.translate(_ESCAPED)


if __name__ == "__main__":
    sys.exit(main())
