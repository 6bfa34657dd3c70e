"""The command line: verbs, options and help come from the API's own signatures."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any, get_type_hints

import docstring_parser
from jsonargparse import ArgumentParser, set_loader

from airrep.console.wording import counted
from airrep.errors import ArgumentError, CurateError, FileFormatError, MissingInputError
from airrep.machine.processes import rank
from airrep.version import __version__
from curate import demo
from curate.configs.yaml_text import config_text, read_yaml, read_yaml_file
from curate.manifest.check import check_manifest
from curate.manifest.provenance import differences
from curate.report import saved
from curate.stages.scorer_choice import ScorerName
from curate.training_set import TrainingSet
from curate.verbs.benchmark import benchmark
from curate.verbs.check import check
from curate.verbs.embed import embed
from curate.verbs.fit import fit
from curate.verbs.harmful import harmful
from curate.verbs.lds import lds
from curate.verbs.record import record
from curate.verbs.select import select
from curate.verbs.train import train
from curate.verification import Verification, verify
from selection.selectors import SelectorName

_DESCRIPTION = "Choose the training examples that help a language model most."
_VERBS: Mapping[str, Callable[..., Any]] = {
    "select": select,
    "harmful": harmful,
    "check": check,
    "embed": embed,
    "record": record,
    "lds": lds,
    "benchmark": benchmark,
    "train": train,
    "fit": fit,
    "demo": demo.demo,
    "report": saved.report,
    "explain": saved.explain,
    "verify": verify,
}
# Parameters that follow the verb without a name.
_POSITIONAL = {
    "report": ("directory",), "explain": ("directory", "name"), "verify": ("directory",),
}  # fmt: skip
# Options without a value.
_FLAGS = {
    "select": ("overwrite",), "harmful": ("overwrite",), "explain": ("target",),
    "verify": ("repair",),
}  # fmt: skip
# Verbs that are given a config, not a file of options; and where it is explained.
_CONFIG_FIRST = {"benchmark": "docs/evidence.md", "train": "docs/training.md"}
# What a command line can hold of the types that also take Python objects.
_AS_TEXT: Mapping[str, Any] = {
    "Source": str,
    "Source | None": str | None,
    "Constraints | Mapping[str, Any] | None": dict[str, Any] | None,
    "str | Path": str,
    "str | Path | None": str | None,
    "str | Path | AirRep | None": str | None,
    "str | Path | Encoder | None": str | None,
    "str | Path | LanguageModel | None": str | None,
    "str | Path | npt.NDArray[np.floating] | None": str | None,
    "ScorerName | Sequence[ScorerName] | Scorer": ScorerName | list[ScorerName],
    "SelectorName | Selector | None": SelectorName | None,
}
# Control characters but for tab and line break, and halves of surrogate pairs.
_ESCAPED = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in (*range(9), *range(11, 32), *range(127, 160), *range(0xD800, 0xE000))
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status: 0 fine, 1 an error, 2 wrong usage, 130 interrupted."""
    given = list(sys.argv[1:] if argv is None else argv)
    if any(not _is_text(argument) for argument in given):
        return _complain("curate: an argument is not UTF-8; rename the file that it names", 2)
    if trouble := _unreadable_config(given):
        return _complain(f"curate: {trouble}", 2)
    parsed = _parser(given[:1]).parse_args(given)
    options = parsed[parsed.verb].as_dict()
    if twice := _given_twice(given, _FLAGS.get(parsed.verb, ())):
        return _complain(
            f"curate {parsed.verb}: --{twice} is given more than once and takes one value; give it "
            "once",
            2,
        )
    config = [] if parsed.verb in _CONFIG_FIRST else options.pop("config", None) or []
    try:
        recorded = _manifest(str(config[-1])) if config else None
        if recorded is not None and recorded["verb"] != parsed.verb:
            return _complain(
                f"this manifest is repeated by curate {recorded['verb']} --config …", 2
            )
        result = _VERBS[parsed.verb](**options)
        if rank() == 0:
            _show(parsed.verb, options, result)
        if isinstance(result, Verification):
            return 0 if result.fine else 1
        return _compare(recorded, result)
    except CurateError as error:
        return _complain(f"curate {parsed.verb}: {error}", 1)
    except KeyboardInterrupt:
        return _complain("interrupted; the same command goes on from what it has written", 130)


class _Parser(ArgumentParser):
    """Says what is wrong with options, and quotes them, without what steers a terminal."""

    def error(self, message: str, ex: Exception | None = None) -> Any:  # noqa: ANN401
        return super().error(_printable(message), ex)


def _parser(first: Sequence[str]) -> ArgumentParser:
    """Of all verbs; where the first argument is one, only that one has options: it is quicker."""
    asked = set(first) & set(_VERBS) or set(_VERBS)
    set_loader("curate", _load_config, exceptions=(FileFormatError,))
    parser = _Parser(
        prog="curate", description=_DESCRIPTION, version=__version__, parser_mode="curate"
    )
    verbs = parser.add_subcommands(dest="verb", metavar="VERB")
    for name, function in _VERBS.items():
        summary = (inspect.getdoc(function) or "").split("\n")[0]
        verb = _Parser(description=summary, parser_mode="curate")
        if name in asked:
            _add_options(verb, name, function)
        verbs.add_subcommand(name, verb, help=summary)
    return parser


def _add_options(verb: ArgumentParser, name: str, function: Callable[..., Any]) -> None:
    if name in _CONFIG_FIRST:
        explained = f"YAML file; {_CONFIG_FIRST[name]} has an example"
        verb.add_argument("config", type=str, help=explained)
    elif name not in _POSITIONAL:
        verb.add_argument("--config", action="config", help="YAML or JSON file, or a manifest")
    positional, flags = _POSITIONAL.get(name, ()), _FLAGS.get(name, ())
    for parameter in docstring_parser.parse(inspect.getdoc(function) or "").params:
        if parameter.arg_name in positional:
            verb.add_argument(parameter.arg_name, type=str, help=parameter.description)
        elif parameter.arg_name in flags:
            option = f"--{parameter.arg_name}"
            verb.add_argument(option, action="store_true", help=parameter.description)
    verb.add_function_arguments(
        _command(function), nested_key=None, as_group=False, skip={"config", *positional, *flags}
    )


def _command(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a signature that a command line can fill; names and help stay its own."""

    def command(**options: Any) -> Any:  # noqa: ANN401
        return function(**options)

    shown = {"progress": True}  # a bar on a terminal, a line now and then in a log
    given = inspect.signature(function).parameters.values()
    command.__annotations__ = {p.name: _AS_TEXT.get(p.annotation, p.annotation) for p in given}
    types = get_type_hints(command, vars(sys.modules[function.__module__]))
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


def _given_twice(given: Sequence[str], flags: Collection[str]) -> str:
    """An option that stands there twice, of which the parser keeps the last; "" if none does.

    A config may be one of several: what they set is put together.
    """
    seen: set[str] = set()
    words = iter(given)
    for word in words:
        if word == "--":
            break
        if not word.startswith("--"):
            continue
        name, equals, _ = word[2:].partition("=")
        if name in flags:
            continue
        if not equals:
            next(words, None)  # its value, whatever it looks like
        if name in seen:
            return name
        if name != "config" and not name.endswith("+"):  # --scorer+ adds to a list
            seen.add(name)
    return ""


def _manifest(path: str) -> dict[str, Any] | None:
    content = read_yaml_file(path)
    if not isinstance(content, dict) or "manifest_version" not in content:
        return None
    check_manifest(content, path)
    return content


def _compare(manifest: dict[str, Any] | None, result: object) -> int:
    """After a run from a manifest: did it choose the same rows?"""
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
