"""What the documents show is run, and what they name exists."""

import inspect
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from curate import cli, demo_pool, demo_targets, select
from eval_harness.encoder_training.config import EncoderTrainingConfig, RecordedConfig
from eval_harness.files.settings import read_settings

pytestmark = pytest.mark.docs
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
# What the README leaves out because a user need not care, and a test has to.
QUIETLY = "use_cpu=True, report_to='none', dataloader_pin_memory=False"
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
EVIDENCE = (ROOT / "docs" / "evidence.md").read_text("utf-8")
TRAINING = (ROOT / "docs" / "training.md").read_text("utf-8")
# Fewer rows and targets, fewer and smaller runs than a user would want.
LITTLE = "demo_pool(60)"
SHORT = ["--rows", "60", "--targets", "1"]
SMALL = ["--size", "8", "--epochs", "1", "--learning_rate", "1e-3", "--max_tokens", "128"]
FEW = ["--subsets", "6"]


def _blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readmes_python_runs_from_top_to_bottom(here, tiny_lm):
    blocks = _blocks(README, "python")
    assert len(blocks) == 2
    assert sum(block.count("demo_pool(600)") for block in blocks) == 1
    names: dict[str, object] = {}
    for block in blocks:
        code = block.replace("Qwen/Qwen2.5-0.5B", str(tiny_lm))
        code = code.replace("max_steps=2", f"max_steps=2, {QUIETLY}")
        code = code.replace("demo_pool(600)", LITTLE)
        exec(compile(code, "README.md", "exec"), names)
    assert (here / "chosen" / "train.parquet").exists()
    assert len(names["chosen"]) == 50


def test_the_readme_is_short():
    """What it leaves out stands in docs/: at most 700 words outside code and addresses."""
    prose = re.sub(r"```.*?```|\(https://[^)]*\)", "", README, flags=re.DOTALL)
    assert len(prose.split()) <= 700


def _instead(words, options):
    """The command with these options, each with a value, in the place of its own."""
    words = list(words)
    for name in options[::2]:
        if name in words:
            del words[words.index(name) : words.index(name) + 2]
    return [*words, *options]


@pytest.mark.slow
def test_the_readmes_command_lines_run_in_order(here, capsys):
    lines = [line for block in _blocks(README, "bash") for line in block.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("curate ")]
    assert [command[0] for command in commands] == ["demo", "select", "select", "embed"]
    for command in commands:
        shorter = _instead(command, SHORT) if command[0] == "demo" else command
        assert cli.main([*shorter, "--progress", "false"]) == 0
    assert "same rows as in the manifest" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("few_draws")
def test_the_evidence_pages_commands_run_in_order(here, tiny_lm, capsys):
    given = {
        "pool": demo_pool(30),
        "heldout": demo_pool(6, seed=5),
        "targets": demo_targets("email_reply", 8),
    }
    for name, rows in given.items():
        (here / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ran = []
    for language, block in re.findall(r"^```(bash|python)\n(.*?)^```", EVIDENCE, re.DOTALL | re.M):
        if language == "python":
            exec(compile(block, "evidence.md", "exec"), {})
            continue
        for line in block.splitlines():
            if line == "wait":
                continue
            words = shlex.split(line.replace("MODEL", str(tiny_lm)).removesuffix("&"))
            words = [word for word in words if not word.startswith("CUDA_VISIBLE_DEVICES=")]
            program, verb, *options = words
            assert program == "curate"
            if verb == "benchmark" or "sunweiwei/" in line:
                continue  # see test_benchmark.py and test_lds_benchmark.py
            if verb == "trial":
                options += ["--k", "3", "--epochs", "1", "--max_tokens", "48"]
            small = [] if verb != "record" else SMALL if "--subsets" in words else [*SMALL, *FEW]
            silent = ["--quiet"] if verb == "export" else ["--progress", "false"]
            assert cli.main([verb, *_instead(options, small), *silent]) == 0, line
            ran.append(verb)
    assert ran == ["trial"] + ["record"] * 4 + ["lds"] * 7 + ["export", "lds"]
    lines = capsys.readouterr().out.splitlines()
    results = [line for line in lines if ": LDS " in line]
    names = [
        "airrep", "tfidf", "rds", "gradient", "gradient_adam", "airrep + gradient", "scores.npy",
        "tfidf",
    ]  # fmt: skip
    assert [line.split(":")[0] for line in results] == names
    shape = re.compile(r"[\w.+ ]+: LDS -?\d\.\d{3} \[-?\d\.\d{3}, -?\d\.\d{3}\] over \d+ subsets × "
                       r"\d+ targets \((ceiling \d\.\d\d)?(; )?"
                       r"(\d+\.\d\d ms( and [\d,]+ bytes)? a row)?\)")  # fmt: skip
    shown = re.findall(r"^tfidf: LDS .*$", EVIDENCE, re.M)
    assert all(shape.fullmatch(line) for line in [*results, *shown])
    assert len(shown) == 1


@pytest.mark.parametrize("page", ["constraints", "guard", "report", "scale", "selecting"])
def test_a_pages_python_runs_from_top_to_bottom(here, page):
    blocks = _blocks((ROOT / "docs" / f"{page}.md").read_text("utf-8"), "python")
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, f"{page}.md", "exec"), names)


@pytest.mark.slow
def test_the_page_on_rows_that_hurt_runs(here, tiny_lm, capsys):
    page = (ROOT / "docs" / "harm.md").read_text("utf-8").replace("MODEL", str(tiny_lm))
    for name, rows in (("pool", demo_pool(160)), ("targets", demo_targets("inference", 3))):
        (here / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (command,) = _blocks(page, "bash")
    assert cli.main([*shlex.split(command)[1:], "--progress", "false"]) == 0
    assert "rows that hurt" in capsys.readouterr().out
    for block in _blocks(page, "python"):
        exec(compile(block, "harm.md", "exec"), {})
    assert (here / "suspects.html").exists()


@pytest.mark.parametrize("document", [README, TRAINING])
def test_the_shortest_training_config_is_a_config(document):
    values = yaml.safe_load(_blocks(document, "yaml")[0])
    config = read_settings(EncoderTrainingConfig, values)
    assert config == EncoderTrainingConfig("MODEL", "pool.jsonl", "targets.jsonl")


def test_the_config_for_recorded_runs_is_a_config():
    (given,) = (yaml.safe_load(b) for b in _blocks(TRAINING, "yaml") if "\nrecorded:\n" in b)
    config = read_settings(EncoderTrainingConfig, given)
    assert config.recorded == RecordedConfig("index.jsonl", "losses")
    assert config.teaches is None


def test_the_training_pages_commands_are_commands():
    lines = [line for block in _blocks(TRAINING, "bash") for line in block.splitlines()]
    commands = [shlex.split(line.removesuffix("&")) for line in lines if "curate " in line]
    options = {verb: inspect.signature(cli.verb(verb)) for verb in cli.VERBS}
    assert [command[command.index("curate") + 1] for command in commands] == [
        "train", "select", "train", "train", "train", "fit", "select",
    ]  # fmt: skip
    for command in commands:
        verb, *words = command[command.index("curate") + 1 :]
        named = {word.removeprefix("--") for word in words if word.startswith("--")}
        assert named <= set(options[verb].parameters)


def test_make_targets_that_the_readme_names_exist():
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"`?make ([\w-]+)", README + CONTRIBUTING))
    assert {"demo", "test", "check"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_contributings_scorer_and_selector_work():
    names: dict[str, object] = {}
    for block in _blocks(CONTRIBUTING, "python"):
        exec(compile(block, "CONTRIBUTING.md", "exec"), names)
    pool, targets = demo_pool(80), demo_targets("sql_query", 2)
    scorer, selector = names["LengthScorer"](), names["WorstFirst"]()
    chosen = select(pool, targets, 5, scorer=scorer, selector=selector)
    assert chosen.manifest.chosen["scorer"] == "length"
    assert chosen.manifest.chosen["selector"] == "worst_first"


@pytest.mark.parametrize(
    "document",
    ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in sorted(ROOT.glob("docs/*.md")))],
)
def test_links_and_files_that_are_named_exist(document):
    text = (ROOT / document).read_text("utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    modules = re.findall(r"`((?:airrep|selection|eval_harness|curate)/[\w./]*)`", text)
    for name in links:
        assert (ROOT / document).parent.joinpath(name).exists(), name
    for name in modules:
        assert (ROOT / name).exists(), name
