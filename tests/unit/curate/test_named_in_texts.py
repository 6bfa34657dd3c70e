"""What texts name is there: options, verbs, arguments, files, columns, pages.

Read are the report's page and all text in the source: messages, summaries, explanations, help. The
documents have a test of their own.
"""

import ast
import inspect
import re
from functools import cache
from pathlib import Path

import pytest

import airrep
import curate
import curate.trl
from curate import cli
from curate.command_line.verbs import application
from curate.demo_data import demo_pool, demo_targets
from curate.selected_rows import COLUMN_PREFIX
from curate.training_set import TrainingSet
from curate.verbs.report import report

ROOT = Path(curate.__file__).parents[1]
PACKAGES = ("curate", "eval_harness", "selection", "airrep")
TEMPLATE = ROOT / "curate" / "report" / "templates" / "report.html.jinja"
# What belongs to other programs and libraries, with whose it is.
THEIR_OPTIONS = {"--num_processes": "accelerate", "--upgrade": "pip"}
THEIR_ARGUMENTS = {
    "cpu": "accelerate", "mmap_mode": "numpy", "packing": "trl",
    "trust_remote_code": "sentence-transformers", "use_cpu": "trl",
}  # fmt: skip


@cache
def _texts():
    """(place, text) of every string in the source; of an f-string, what stands between values."""
    found = [(TEMPLATE.name, TEMPLATE.read_text("utf-8"))]
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            if "demo_data" not in file.parts:
                tree = ast.parse(file.read_text("utf-8"))
                found += [
                    (f"{file.relative_to(ROOT)}:{node.lineno}", node.value)
                    for node in ast.walk(tree)
                    if isinstance(node, ast.Constant) and isinstance(node.value, str)
                ]
    return found


def _named(pattern):
    """Name to the places that name it."""
    named = {}
    for place, text in _texts():
        for name in re.findall(pattern, text):
            named.setdefault(name, []).append(place)
    return named


def _missing(named, there):
    return {name: places for name, places in named.items() if name not in there}


@cache
def _options():
    """The options of every verb, as its parser knows them."""
    found = {}
    for verb in cli.VERBS:
        known = application([verb], ())[verb].assemble_argument_collection()
        found[verb] = {"--help", *(name for argument in known for name in argument.names)}
    return found


def _arguments():
    """The parameters of what a user calls, and of its methods."""
    public = [getattr(curate, name) for name in curate.__all__] + [airrep.AirRep, TrainingSet]
    public += [getattr(curate.trl, name) for name in curate.trl.__all__]
    for each in list(public):
        if inspect.isclass(each):
            public += [member for _, member in inspect.getmembers(each, callable)]
    names = set()
    for each in public:
        try:
            names |= set(inspect.signature(each).parameters)
        except (TypeError, ValueError):  # of a builtin
            continue
    return names


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    """A selection that was saved, and its directory."""
    directory = tmp_path_factory.mktemp("named")
    targets = demo_targets("email_reply", 2)
    found = curate.select([*demo_pool(40), *targets], targets, 4, scorer="tfidf", output=directory)
    report(directory)
    return found, directory


def test_options_that_texts_name_exist():
    named = _named(r"(?<![\w-])--([a-z][\w-]*)")
    there = {name.removeprefix("--") for verb in _options().values() for name in verb}
    there |= {name.replace("_", "-") for name in there} | {
        "no-progress",
        "version",
        "install-completion",
    }
    their = {name.removeprefix("--") for name in THEIR_OPTIONS}
    assert {"target", "output", "overwrite", "config"} <= set(named), "they are found at all"
    assert not _missing(named, there | their)
    assert their <= set(named), "no exception outlives its text"


def test_commands_that_texts_show_exist():
    named = _named(r"curate ([a-z]+)(?: [A-Z]+)* (?:--|DIR)")
    assert {"explain", "select"} <= set(named)
    assert not _missing(named, set(cli.VERBS))
    for place, text in _texts():
        for verb, options in re.findall(r"curate ([a-z]+)((?: [A-Z]+| --\w+(?: \S+)?)+)", text):
            asked = set(re.findall(r"--[\w-]+", options))
            assert asked <= _options()[verb] | set(THEIR_OPTIONS), place


def test_arguments_that_messages_name_exist():
    named = _named(r"(?<![\w.<])([a-z_]+)=(?:\.\.\.|\"[a-z]+\"|'[a-z]+'|True|False|\{'|\{\")")
    markup = set(re.findall(r"([a-z_]+)=\"", TEMPLATE.read_text("utf-8")))
    ours = {name: places for name, places in named.items() if name not in markup}
    assert {"model", "target", "columns"} <= set(ours) | markup
    assert not _missing(ours, _arguments() | set(THEIR_ARGUMENTS))
    assert set(THEIR_ARGUMENTS) <= set(ours), "no exception outlives its text"


def test_pages_that_texts_name_exist():
    named = _named(r"docs/[a-z-]+\.md")
    assert "docs/report.md" in named
    assert not [page for page in named if not (ROOT / page).is_file()]


def test_files_and_columns_that_the_report_names_exist(chosen):
    training_set, directory = chosen
    page = TEMPLATE.read_text("utf-8")
    files = set(re.findall(r"<code>([\w.]+\.\w+)</code>", page))
    assert "manifest.json" in files
    there = {file.name for file in directory.iterdir()}
    assert files <= there
    assert "the saved <code>selection</code> file" in page
    assert [name for name in there if name.startswith("selection.")]
    columns = _named(rf"(?<!\w){COLUMN_PREFIX}[a-z]+")
    assert f"{COLUMN_PREFIX}rank" in columns
    assert not _missing(columns, training_set.dataset.column_names)


def test_what_saving_is_said_to_write_is_written(chosen):
    _, directory = chosen
    said = inspect.getdoc(TrainingSet.save)
    for name in re.findall(r"`([\w/]+(?:\.\*|\.\w+|/))`", said):
        if name not in ("skipped.jsonl", "train.jsonl"):  # which depend on rows and format
            assert list(directory.glob(name.removesuffix("/"))), name
