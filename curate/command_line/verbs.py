"""The verbs of the command line: where they are, and their options as cyclopts knows them."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from cyclopts import App, Group, Parameter

from airrep.version import __version__
from curate.command_line.help import HelpText
from curate.command_line.values import choices_of, from_tokens, is_mapping, kind_of

# Where each verb is defined; a module is imported when its verb is asked for.
VERBS: Mapping[str, str] = {
    "select": "curate.verbs.select",
    "harmful": "curate.verbs.harmful",
    "check": "curate.verbs.check",
    "convert": "curate.verbs.convert",
    "embed": "curate.verbs.embed",
    "record": "curate.verbs.record",
    "lds": "curate.verbs.lds",
    "export": "curate.verbs.export",
    "trial": "curate.verbs.trial",
    "benchmark": "curate.verbs.benchmark",
    "train": "curate.verbs.train",
    "fit": "curate.verbs.fit",
    "demo": "curate.demo",
    "report": "curate.verbs.report",
    "explain": "curate.verbs.explain",
    "compare": "curate.verbs.compare",
    "verify": "curate.verification.directory",
}
# Parameters that follow the verb without a name.
_POSITIONAL = {
    "report": ("directory",),
    "explain": ("directory", "name"),
    "compare": ("first", "second"),
    "verify": ("directory",),
    "benchmark": ("config",),
    "train": ("config",),
}
# Other names of options; `for` is a word of Python.
_ALIASES = {"k": "-k", "output": "-o", "verbose": "-v", "quiet": "-q", "for_target": "--for"}
_EXIT = "Exit status: 0 fine, 1 error or failed check, 2 wrong usage, 130 interrupted."


class _Converted:
    """The type of what `from_tokens` has checked.

    pydantic, which cyclopts asks once more where something has imported it, cannot judge it.
    """


# Options of the command line alone: the type, the help, and the verbs that have them.
_Own: TypeAlias = tuple[Any, str, Collection[str]]
_OWN: Mapping[str, _Own] = {
    "fail_on": (
        Sequence[Literal["leaks", "duplicates"]],
        "What makes the exit status 1 if it is found; several are separated by commas.",
        ["check"],
    ),
    "config": (
        list[str],
        "YAML or JSON file with options, or the manifest of a run to repeat; of several files the "
        "last counts most.",
        VERBS.keys() - _POSITIONAL,
    ),
    "json": (
        bool,
        "Print the result as one JSON object.",
        ["select", "harmful", "check", "convert", "lds", "trial", "explain", "compare", "verify"],
    ),
    "quiet": (bool, "Show no progress.", VERBS),
    "verbose": (bool, "Show how long stages took, and where an error comes from.", VERBS),
}


def verb(name: str) -> Callable[..., Any]:
    """The function that a verb calls."""
    found: Callable[..., Any] = getattr(import_module(VERBS[name]), name)
    return found


def own_options(name: str) -> list[str]:
    """Names of a verb's options that its function does not take."""
    return [option for option, (_, _, verbs) in _OWN.items() if name in verbs]


def application(asked: Collection[str], sources: Sequence[Callable[..., Any]]) -> App:
    """The command line; only verbs that are asked for are imported and have options.

    Args:
        asked: Names of verbs.
        sources: Other sources of options, as cyclopts calls them, the most important first.
    """
    app = App(
        name="curate",
        help="Choose the training examples that help a language model most.",
        version=f"curate {__version__}",
        version_flags=["--version", "-V"],
        help_format="plaintext",
        help_formatter=HelpText(),
        help_epilogue=_EXIT,
        config=sources,
        default_parameter=Parameter(
            name_transform=str, negative_iterable=(), allow_repeating=False, show_env_var=False
        ),
        group_commands=Group("Verbs and options", sort_key=0),
        group_parameters=Group("Options"),
    )
    app.register_install_completion_command(help="Install completion for your shell.")
    for place, name in enumerate(VERBS):
        command = _command(name) if name in asked else None
        summary = None if command else summary_of(name)
        app.command(App(name=name, help=summary, default_command=command, sort_key=place))
    return app


def summary_of(name: str) -> str:
    """The first line of a verb's docstring, read without importing what the verb needs."""
    module = Path(__file__).parents[2].joinpath(*VERBS[name].split(".")).with_suffix(".py")
    defined = ast.parse(module.read_text("utf-8")).body
    # after its overloads, where it has any
    *_, function = (d for d in defined if isinstance(d, ast.FunctionDef) and d.name == name)
    return (ast.get_docstring(function) or "").split("\n")[0]


def _command(name: str) -> Callable[..., bool]:
    """What cyclopts parses a command line for; names and help are those of the verb's function."""

    def command(*_: object, **__: object) -> bool:
        return True  # it is only parsed; the verb is called with the result

    parameters = [*_of_function(name), *_of_command_line(name)]
    command.__doc__ = verb(name).__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _of_function(name: str) -> Iterator[inspect.Parameter]:
    function, leading = verb(name), _POSITIONAL.get(name, ())
    for each in inspect.signature(function).parameters.values():
        kind = kind_of(each.annotation, vars(sys.modules[function.__module__]))
        progress = each.name == "progress"  # a bar on a terminal, a line now and then in a log
        yield each.replace(
            kind=each.POSITIONAL_ONLY if each.name in leading else each.KEYWORD_ONLY,
            annotation=_annotated(each.name, kind, positional=each.name in leading),
            default=True if progress else each.default,
        )


def _of_command_line(name: str) -> Iterator[inspect.Parameter]:
    for option in own_options(name):
        kind, explained, _ = _OWN[option]
        yield inspect.Parameter(
            option,
            inspect.Parameter.KEYWORD_ONLY,
            default={bool: False, list[str]: ()}.get(kind),
            annotation=_annotated(option, kind, Parameter(help=explained)),
        )


def _annotated(name: str, kind: Any, *more: Parameter, positional: bool = False) -> Any:  # noqa: ANN401
    """A type with what cyclopts needs to know: flags, keys and choices; the rest is converted."""
    kind = str if positional else kind
    shared = Parameter.combine(Parameter(alias=_ALIASES.get(name)), *more)
    if kind is bool:
        negative = None if name == "progress" else ()
        return Annotated[bool, shared, Parameter(negative=negative, show_default=False)]
    if kind == list[str]:  # which may be given several times
        often = Parameter(allow_repeating=None, allow_leading_hyphen=True, metavar=name.upper())
        return Annotated[kind, shared, often]
    choices = choices_of(kind)
    hint: Any = _Converted | Literal[*choices] if choices else _Converted
    hint = dict[str, _Converted] if is_mapping(kind) else hint
    read = Parameter(
        converter=partial(from_tokens, kind),
        n_tokens=1,
        accepts_keys=is_mapping(kind) and not positional,
        metavar=name.upper(),
        allow_leading_hyphen=not positional,  # an unknown option is no directory
        env_var_split=lambda _, value, delimiter=None: [value],
    )
    return Annotated[hint, shared, read]
