"""What the pages name is there: files, verbs, options, settings, columns, names of the code, links.

Looked at is everything that a page sets as code, inline or in a block. A name that is not this
project's stands in one of the lists below; each of those has to be used, so that none outlives its
page.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import get_type_hints

import pytest
import yaml
from cyclopts import CycloptsError

import curate
from airrep.errors import CurateError
from curate import cli
from curate.command_line.config import ConfigFile
from curate.command_line.verbs import own_options
from curate.selected_rows import COLUMN_PREFIX
from eval_harness.benchmark.config import BenchmarkConfig
from eval_harness.encoder_training.config import EncoderTrainingConfig

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")),
    *sorted((ROOT / "docs").glob("*.md")),
]
PACKAGES = ("airrep", "selection", "eval_harness", "curate")
OUR_SUFFIXES = ("part", "tmp")
SUFFIXES = "gz|html|json|jsonl|md|npy|parquet|part|png|py|safetensors|tmp|toml|txt|yaml|cff"
SUFFIXES_ALONE = {f".{suffix}" for suffix in SUFFIXES.split("|")}
FILE = re.compile(rf"[\w.*…~/<>{{}}-]*\.(?:{SUFFIXES})(?!\w)")
WORD = re.compile(r"[^\W\d]\w*")

# Files of a made-up user, and words that stand for a path.
USERS_FILES = {"heldout.jsonl", "config.yaml"}
PLACEHOLDERS = {"DIR", "SOURCE", "narrator"}
# Names that others gave.
THEIRS = {
    # programs, and what they read
    "accelerate", "cat", "ray", "torchrun", "wait", ".ray", "auth_token",
    "OMP_NUM_THREADS", "LD_PRELOAD", "MALLOC_CONF", "CUDA_VISIBLE_DEVICES", "RAY_AUTH_MODE",
    # the hub's form of a name
    "owner", "config:split",
    # arguments of TRL and transformers
    "shuffle_dataset", "group_by_length", "batch_rebalance",
    # words of JSON, and a character
    "NaN", "Infinity", "x1b",
}  # fmt: skip


# --- what there is ---


def _docstrings(tree: ast.AST) -> set[int]:
    """Ids of the constants that are docstrings."""
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, holders)]
    firsts = [body[0] for body in bodies if body and isinstance(body[0], ast.Expr)]
    return {id(first.value) for first in firsts if isinstance(first.value, ast.Constant)}


class Code:
    """Names and texts of Python files.

    Attributes:
        names: Of functions, classes, arguments, attributes, variables and imports.
        texts: String constants that are no docstrings, and their parts between slashes.
        shapes: f-strings as patterns of `fnmatch`.
    """

    def __init__(self, files: list[Path]) -> None:
        self.names: set[str] = set()
        self.texts: set[str] = set()
        self.shapes: set[str] = set()
        for file in files:
            self._read(ast.parse(file.read_text("utf-8")))

        self.says = cache(self._says)

    def _read(self, tree: ast.AST) -> None:
        skipped = _docstrings(tree)
        for node in ast.walk(tree):
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                    self.names.add(name)
                case ast.Attribute(attr=name) | ast.Name(id=name):
                    self.names.add(name)
                case ast.keyword(arg=str(name)):
                    self.names.add(name)
                case ast.alias(name=name):
                    self.names.update(name.split("."))
                case ast.Constant(value=str(text)) if id(node) not in skipped:
                    self.texts.update([text, text.strip(), *text.split("/")])
                case ast.JoinedStr(values=parts):
                    self._shape(parts)

    def _shape(self, parts: list[ast.expr]) -> None:
        pieces = [p.value if isinstance(p, ast.Constant) else "*" for p in parts]
        for shape in "".join(map(str, pieces)).split("/"):
            stem, _, suffix = shape.rpartition(".")
            says = stem if suffix in SUFFIXES.split("|") and suffix not in OUR_SUFFIXES else shape
            if len(re.sub(r"\W", "", says)) >= 3 and " " not in shape:
                self.shapes.add(shape)

    def _says(self, text: str) -> bool:
        """Whether it is one of the texts, or made by an f-string."""
        if text in self.texts or any(fnmatchcase(text, shape) for shape in self.shapes):
            return True
        wanted = re.sub(r"…|\bN\b|\bNAME\b", "*", text)
        return wanted in self.shapes or any(fnmatchcase(one, wanted) for one in self.texts)


@cache
def _ours() -> Code:
    return Code([file for name in PACKAGES for file in (ROOT / name).rglob("*.py")])


@cache
def _examples() -> Code:
    """Of the scripts, and of what tests share; what configs and the Makefile hold is text, too."""
    code = Code([*(ROOT / "examples").rglob("*.py"), ROOT / "tests" / "conftest.py"])
    for file in [*(ROOT / "examples").rglob("*.yaml"), ROOT / "Makefile"]:
        for word in re.findall(r"[\w./+-]+", file.read_text("utf-8")):
            code.texts.update([word, *word.split("/")])
    return code


@cache
def _files() -> set[str]:
    """Paths of all files and folders of the project, from its root."""
    found = set()
    for name in (*PACKAGES, "docs", "examples", "tests", ".github"):
        found.update(path.relative_to(ROOT).as_posix() for path in (ROOT / name).rglob("*"))
        found.add(name)
    return found | {path.name for path in ROOT.iterdir() if path.is_file()}


@cache
def _modules() -> set[str]:
    return {path.rpartition("/")[2].removesuffix(".py") for path in _files() if ".py" in path}


@cache
def _options(verb: str) -> set[str]:
    names = {*inspect.signature(cli.verb(verb)).parameters, *own_options(verb), "help"}
    return names | {name.replace("_", "-") for name in names}


@cache
def _every_option() -> set[str]:
    scripts = {text[2:] for text in _examples().texts if text.startswith("--")}
    return scripts.union(
        {"version", "no-progress", "install-completion", "shell"},
        *(_options(verb) for verb in cli.VERBS),
    )


# --- what a page names ---


def _blocks(text: str) -> list[tuple[str, str]]:
    """(language, content) of each block; "bash" for one that is set off by four spaces."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    commands = r"(?:^ {4}(?:export|cd|python|curate|pytest|[A-Z_]+=\S+) .*\n)+"
    return fenced + [("bash", block) for block in re.findall(commands, rest, re.MULTILINE)]


def _inline(text: str) -> list[str]:
    rest = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", rest)]


USED: set[str] = set()  # names of the lists above that a page has used


def _listed(word: str, names: set[str]) -> bool:
    if word in names:
        USED.add(word)
    return word in names


def unknown(page: Path) -> Iterator[str]:
    """What a page names and nothing has."""
    text = page.read_text("utf-8")
    own = {
        node.name
        for language, block in _blocks(text)
        if language == "python"
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }
    for span in _inline(text):
        missing = [why for why in _of_span(span, page) if why.split()[-1] not in own]
        yield from (f"`{span}`: {why}" for why in missing)
    for language, block in _blocks(text):
        check = {"bash": _of_commands, "python": _of_python, "yaml": _of_yaml}.get(language)
        if check is not None:
            yield from check(block, page)
        else:
            for word in re.findall(r"[a-z]\w*[_/][\w/]+", block):
                yield from _of_span(word, page)


def _of_span(span: str, page: Path) -> Iterator[str]:
    if re.match(r"(curate|make|python|accelerate|pip|pytest|ray|torchrun) ", span):
        yield from _of_command(span, page)
    elif span.startswith("--"):
        yield from _of_words(shlex.split(span), _every_option())
    elif FILE.fullmatch(span) or re.fullmatch(r"[\w.*…~-]+(/[\w.*…~:-]*)+", span):
        yield from _of_path(span, page)
    elif _of_setting(span) or _ours().says(span):
        return
    else:
        yield from _of_expression(span, page)


# --- commands ---


def _of_commands(block: str, page: Path) -> Iterator[str]:
    for line in block.replace("\\\n", " ").splitlines():
        if command := line.split(" #")[0].strip().removesuffix("&").strip():
            yield from _of_command(command, page)


def _of_command(command: str, page: Path) -> Iterator[str]:
    words = shlex.split(command)
    while words and re.match(r"[A-Z_]+=", words[0]):
        yield from _of_variable(words.pop(0))
    if not words:
        return
    program, *rest = words
    if program != "curate" and "curate" in rest:  # accelerate launch … -m curate select …
        launched = rest.index("curate")
        yield from _of_curate(rest[launched + 1 :], page)
        rest = rest[:launched]
    check = _PROGRAMS.get(program)
    if check is not None:
        yield from check(rest, page)
    elif not _listed(program, THEIRS):
        yield f"no program {program}"


def _of_curate(words: list[str], page: Path) -> Iterator[str]:
    verb = words[0] if words else "--help"
    if verb in cli.VERBS:
        yield from _of_words(words[1:], _options(verb), page)
    elif verb.startswith("--"):
        yield from _of_words(words, _every_option())
    else:
        yield f"no verb {verb}"


def _of_make(words: list[str], page: Path) -> Iterator[str]:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = (word for word in words if "=" not in word)  # not a variable
    yield from (f"no target {word} in the Makefile" for word in named if word not in targets)


def _of_script(words: list[str], page: Path) -> Iterator[str]:
    if words[0] == "-m":
        return
    places = [words[0], f"examples/t0/encoder/{words[0]}"]  # a page goes there first
    script = next((ROOT / place for place in places if place in _files()), None)
    if script is None:
        yield f"no script {words[0]}"
    else:
        yield from _of_words(words[1:], _script_options(script), page)


def _of_installing(words: list[str], page: Path) -> Iterator[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for named in re.findall(rf"{project['name']}\[([\w,-]+)\]", " ".join(words)):
        missing = set(named.split(",")) - set(project["optional-dependencies"])
        yield from (f"no extra {extra}" for extra in missing)


def _of_pytest(words: list[str], page: Path) -> Iterator[str]:
    yield from (f"no folder {word}" for word in words if "/" in word and word not in _files())


def _of_export(words: list[str], page: Path) -> Iterator[str]:
    for word in words:
        yield from _of_variable(word)


def _of_folder(words: list[str], page: Path) -> Iterator[str]:
    yield from _of_path(words[0], page)


_PROGRAMS = {
    "curate": _of_curate, "make": _of_make, "python": _of_script, "pip": _of_installing,
    "pytest": _of_pytest, "export": _of_export, "cd": _of_folder,
}  # fmt: skip


@cache
def _script_options(script: Path) -> set[str]:
    """Of a script, with those that the benchmarks share."""
    shared = [ROOT / "examples/benchmarks/reporting.py"] if "benchmarks" in script.parts else []
    return {text[2:] for text in Code([script, *shared]).texts if text.startswith("--")}


def _of_words(words: list[str], options: set[str], page: Path | None = None) -> Iterator[str]:
    """Options, and what is given to them where it is a file of the project."""
    for word in words:
        if word.startswith("--"):
            if re.split("[=.]", word[2:])[0] not in options:
                yield f"no option {word}"
        elif word.startswith("examples/"):
            yield from _of_path(word, page or ROOT)


def _of_variable(setting: str) -> Iterator[str]:
    name = setting.partition("=")[0]
    if not (_ours().says(name) or _listed(name, THEIRS)):
        yield f"no variable {name}"


# --- files ---


def _of_path(path: str, page: Path) -> Iterator[str]:
    """A file or folder of the project, one that a run writes, or a user's."""
    wanted = path.rstrip("/:.")
    wanted = wanted.removeprefix("./")
    if wanted in _files() or any(known.endswith(f"/{wanted}") for known in _files()):
        return
    parts = [part for part in wanted.split("/") if part not in ("..", "~", "")]
    for part in parts:
        known = (
            _ours().says(part)
            or (part in SUFFIXES_ALONE and any(text.endswith(part) for text in _ours().texts))
            or _examples().says(part)
            or any(_listed(part, names) for names in (USERS_FILES, PLACEHOLDERS, THEIRS))
        )
        if not known:
            yield f"no file or folder {part}"


# --- settings and names ---


@cache
def _settings() -> dict[str, object]:
    """Dotted path of every setting of the two kinds of config, and its default."""
    found: dict[str, object] = {}

    def walk(kind: type, where: str) -> None:
        types = get_type_hints(kind)
        for each in fields(kind):
            found[where + each.name] = each.default
            for inner in getattr(types[each.name], "__args__", (types[each.name],)):
                if is_dataclass(inner):
                    walk(inner, f"{where}{each.name}.")

    for kind in (BenchmarkConfig, EncoderTrainingConfig):
        walk(kind, "")
    return found


def _is_setting(path: str) -> bool:
    return any(known == path or known.endswith(f".{path}") for known in _settings())


def _of_setting(span: str) -> bool:
    """Whether a span is a config's setting, as `a.b` or as `key: value`."""
    if re.fullmatch(r"[\w.]+", span):
        return _is_setting(span)
    if not re.match(r"[\w.]+: ", span):
        return False
    try:
        values = yaml.safe_load(span)
    except yaml.YAMLError:
        return False
    return isinstance(values, dict) and not list(_of_mapping(values))


def _of_mapping(values: dict[str, object], where: str = "") -> Iterator[str]:
    for key, value in values.items():
        path = f"{where}{key}"
        if not _is_setting(path):
            yield f"no setting {path}"
        if isinstance(value, dict):
            yield from _of_mapping(value, f"{path}.")
        elif isinstance(value, str) and not _is_name(value):
            yield f"{path}: no value {value}"


def _of_yaml(block: str, page: Path) -> Iterator[str]:
    """Top-level settings; the tests of configs look at the whole of the long ones."""
    yield from (f"no setting {key}" for key in yaml.safe_load(block) if not _is_setting(key))


@cache
def _columns() -> set[str]:
    """Of a training set, beside the user's own."""
    chosen = curate.select(
        curate.demo_pool(40), curate.demo_targets("email_reply", 2), 2, scorer="tfidf"
    )
    return {name for name in chosen.dataset.column_names if name.startswith(COLUMN_PREFIX)}


def _is_name(word: str) -> bool:
    """Whether an identifier or a text is known, as code, as a value, or as someone else's."""
    if word.startswith(COLUMN_PREFIX):
        return word in _columns()
    return (
        word in _ours().names
        or _ours().says(word)
        or word in PACKAGES
        or word in _modules()
        or word in _every_option()
        or (word.startswith("CURATE_") and word[7:].lower() in _every_option())
        or word in _examples().names
        or _examples().says(word)
        or _is_setting(word)
        or _listed(word, PLACEHOLDERS)
        or _listed(word, THEIRS)
    )


def _of_expression(span: str, page: Path) -> Iterator[str]:
    """Names in a piece of Python, or in what only looks like it."""
    try:
        tree = ast.parse(span.replace("…", "..."), mode="exec")
    except SyntaxError:
        yield from (f"no name {word}" for word in WORD.findall(span) if not _is_name(word))
        return
    for node in ast.walk(tree):
        match node:
            case ast.Attribute():
                yield from _of_attribute(node)
            case ast.Call():
                yield from _of_call(node)
            case ast.Name(id=word) if not _is_name(word):
                yield f"no name {word}"
            case ast.Constant(value=str(text)) if FILE.fullmatch(text):
                yield from _of_path(text, page)
            case ast.Constant(value=str(text)) if WORD.fullmatch(text) and not _is_name(text):
                yield f"no value {text}"
            case _:
                pass


def _of_python(block: str, page: Path) -> Iterator[str]:
    """Attributes, keywords and imports of ours; and what comments speak of."""
    tree = ast.parse(block)
    theirs = {
        each.asname or each.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for each in node.names
    } - set(PACKAGES)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node).split(".")[0] not in theirs:
            yield from _of_attribute(node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[0] not in theirs:
            yield from _of_call(node)
        elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in PACKAGES:
            missing = [n.name for n in node.names if not _is_there(f"{node.module}.{n.name}")]
            yield from (f"no {node.module}.{name}" for name in missing)
    for comment in re.findall(r"#(.*)", block):
        for file in FILE.findall(comment):
            yield from _of_path(file, page)
        yield from (f"no name {w}" for w in re.findall(r"\w+_\w+", comment) if not _is_name(w))


def _of_attribute(node: ast.Attribute) -> Iterator[str]:
    dotted = ast.unparse(node)
    root = dotted.split(".")[0]
    if root in PACKAGES and re.fullmatch(r"[\w.]+", dotted):
        if not _is_there(dotted):
            yield f"no {dotted}"
    elif not (_is_name(node.attr) or _listed(dotted, THEIRS)):
        yield f"no attribute {node.attr}"


def _of_call(node: ast.Call) -> Iterator[str]:
    dotted = ast.unparse(node.func)
    given = [keyword.arg for keyword in node.keywords if keyword.arg is not None]
    if re.fullmatch(r"curate\.\w+", dotted) and _is_there(dotted):
        known = inspect.signature(getattr(curate, dotted.partition(".")[2])).parameters
        yield from (f"{dotted} takes no {name}" for name in given if name not in known)
    else:
        yield from (f"no argument {name}" for name in given if not _is_name(name))


@cache
def _top_level(module: Path) -> set[str]:
    """What can be imported from a module's file."""
    code = Code([module])
    return code.names | code.texts  # texts: the names that an `__init__` imports on demand


@cache
def _is_there(dotted: str) -> bool:
    """Whether there is such a module, or such a name in it; found without importing anything."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        place = "/".join(parts[:count])
        file = f"{place}.py" if f"{place}.py" in _files() else f"{place}/__init__.py"
        if file in _files():
            rest = parts[count:]
            inside = not rest or rest[0] in _top_level(ROOT / file)
            return inside and all(_is_name(name) for name in rest[1:])
    return False


# --- the tests ---


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_names_is_there(page):
    assert list(unknown(page)) == []


def _commands() -> Iterator[tuple[str, list[str]]]:
    """Whole command lines of `curate` in the pages' blocks, but for those that read a file."""
    for page in PAGES:
        for language, block in _blocks(page.read_text("utf-8")):
            if language != "bash":
                continue
            for line in block.splitlines():
                words = shlex.split(line.split(" #")[0].strip().removesuffix("&"))
                if "curate" in words and "--config" not in words:
                    yield page.name, words[words.index("curate") + 1 :]


def test_a_whole_command_line_can_be_typed(own_home):
    """Values are of the options' types and choices, and nothing that is required is left out."""
    commands = list(_commands())
    assert len(commands) > 30
    for page, words in commands:
        try:
            cli.parsed(words, ConfigFile())
        except (CycloptsError, CurateError) as error:
            pytest.fail(f"{page}: curate {shlex.join(words)}: {error}")


def test_a_link_leads_somewhere():
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"].get("urls", {})
    prefixes = tuple(f"{url}/blob/main/" for url in urls.values())
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
            place, _, anchor = target.partition("#")
            prefix = next((p for p in prefixes if place.startswith(p)), None)
            if place.startswith("http") and prefix is None:
                continue
            start = ROOT if prefix is not None else page.parent
            file = start / place.removeprefix(prefix or "") if place else page
            if not file.exists() or (anchor and anchor not in _anchors(file)):
                broken.append(f"{page.name}: {target}")
    assert broken == []


def _anchors(file: Path) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _said_in_code() -> Iterator[tuple[Path, str]]:
    """Docstrings and messages: what the code says of files, modules and options."""
    for root in (*PACKAGES, "examples"):
        for file in sorted((ROOT / root).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield file, node.value


def test_what_the_code_says_of_itself_is_there():
    """Modules and their names, pages and scripts."""
    dotted = re.compile(rf"`((?:{'|'.join(PACKAGES)})\.[\w.]+\w)")
    paths = re.compile(r"\b((?:docs|examples|tests|airrep|selection|eval_harness|curate)/[\w/-]+"
                       r"\.(?:md|py|yaml))")  # fmt: skip
    missing = [
        f"{file.relative_to(ROOT)}: {name}"
        for file, text in _said_in_code()
        for name in (*dotted.findall(text), *paths.findall(text))
        if ("/" in name or not FILE.fullmatch(name))  # selection.json
        and not (name in _files() or ("/" not in name and _is_there(name)))
    ]
    assert missing == []


def test_every_listed_name_is_used():
    for page in PAGES:
        list(unknown(page))
    assert not (USERS_FILES | PLACEHOLDERS | THEIRS) - USED


@pytest.mark.parametrize(
    "span",
    ["guard.json", "`x`/nowhere/"[3:], "curate selekt", "curate select --kk 3", "--no_such_option",
     "curate.no_such", "curate.select(no_such=1)", "no_such_name", "training.no_such",
     "training: {no_such: 1}", "curate_no_such", "make no_such", "python examples/no_such.py",
     "duplicates=\"no_such\"", "NO_SUCH_VARIABLE"],
)  # fmt: skip
def test_a_name_that_is_nowhere_is_found(span):
    """So the tests above can fail."""
    assert list(_of_span(span, ROOT / "README.md"))
