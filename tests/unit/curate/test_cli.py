"""The command line: what it prints, returns and leaves behind."""

import inspect
import json
import re
import subprocess
import sys

import pytest
import yaml

from airrep.version import __version__
from curate import cli
from curate.command_line.verbs import own_options, summary_of
from curate.demo_data import demo_pool, demo_targets


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """A pool and targets as files in the current directory."""
    monkeypatch.chdir(tmp_path)
    for name, rows in (("pool", demo_pool(120)), ("targets", demo_targets("email_reply", 3))):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ["--pool", "pool.jsonl", "--targets", "targets.jsonl", "--scorer", "tfidf"]


def _train_rows(directory):
    return (directory / "train.jsonl").read_text()


@pytest.mark.parametrize("asked", ["--version", "-V", "--help", "-h", "selct"])
def test_version_help_and_typing_errors_import_nothing_heavy(asked):
    code = (
        "import sys, curate.cli\n"
        f"try: curate.cli.main([{asked!r}])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'datasets', 'numpy', 'pandas', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if asked in ("--version", "-V"):
        assert done.stdout.strip() == f"curate {__version__}"
    elif asked == "selct":
        assert done.stderr.startswith("curate: error: 'selct' is no verb; did you mean select?")
        assert done.stderr.count("\n") == 1
    else:
        assert all(f"\n  {verb} " in done.stdout for verb in cli.VERBS)
        assert done.stdout.splitlines()[-1].startswith("Exit status: 0 fine, 1 ")


@pytest.mark.parametrize("verb", cli.VERBS)
def test_the_summary_of_a_verb_is_the_first_line_of_its_function(verb):
    assert summary_of(verb) == inspect.getdoc(cli.verb(verb)).split("\n")[0]


def test_options_may_be_short_dashed_and_bare(inputs, tmp_path, capsys):
    status = cli.main(
        ["select", *inputs, "-k=4", "-o", "out", "--on-bad-row", "skip", "--no-progress",
         "--overwrite", "--target-columns.prompt=prompt", "--target-columns.completion",
         "completion"]
    )  # fmt: skip
    assert status == 0, capsys.readouterr().err
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["arguments"]["on_bad_row"] == "skip"
    assert len(manifest["arguments"]["target_columns"]) == 2
    assert cli.main(["select", *inputs, "-k", "4", "-q"]) == 0


MISTAKES = {
    "option": (["--on_badrow", "skip"], "Unknown option: --on_badrow. Did you mean --on_bad_row?"),
    "no option": (["--zork"], "Unknown option: --zork"),
    "twice": (["--seed", "1", "--seed=2"], "--seed specified multiple times"),
    "twice, spelled apart": (["--on-bad-row", "skip", "--on_bad_row", "error"], "multiple times"),
    "short, not here": (["-x"], "Unknown option: -x"),
    "value": (["--k", "many"], "expected a whole number or auto; found 'many'"),
    "choice": (["--duplicates", "frist"], "found 'frist'; did you mean first?"),
    "choice of a list": (["--leakage", "of"], "found 'of'; did you mean off?"),
    "key": (["--columns", "{prompt: 3}"], "Expected `str`, got `int`"),
    "truth": (["--progress=maybe"], "--progress"),
    "a word too many": (["pool.jsonl"], "pool.jsonl"),
    "steers": (["--seed", "\x1b[31m"], "found '\\x1b[31m'"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_typing_error_is_one_line_and_exits_with_two(inputs, capsys, case):
    words, message = MISTAKES[case]
    status = cli.main(["select", *inputs, *words])
    shown = capsys.readouterr().err
    assert status == 2
    assert shown.startswith("curate select: error: ")
    assert message in shown
    assert shown.count("\n") == 1
    assert "\x1b" not in shown


def test_a_mistyped_option_is_named_rather_than_the_one_that_is_missing(capsys):
    assert cli.main(["select", "--pol", "a", "--targets", "b"]) == 2
    assert "Unknown option: --pol. Did you mean --pool?" in capsys.readouterr().err
    assert cli.main(["select", "--targets", "b"]) == 2
    assert "--pool requires an argument" in capsys.readouterr().err


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_parameter_of_the_api_is_an_option_with_help(verb, capsys):
    assert cli.main([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    for name in (*inspect.signature(cli.verb(verb)).parameters, *own_options(verb)):
        option = re.search(rf"^  (--{name}\b|{name.upper()}\b).*\n      \S", shown, re.MULTILINE)
        assert option, f"{name} is no option, or has no explanation"
    assert max(map(len, shown.splitlines())) <= 100
    assert "\x1b" not in shown


def test_select_prints_a_summary_and_writes(inputs, tmp_path, capsys):
    status = cli.main(["select", *inputs, "--k", "9", "--output", "out", "--format", "jsonl"])
    out = capsys.readouterr().out
    assert status == 0
    assert "120 rows from pool.jsonl" in out
    assert "9 rows by layered_greedy on tfidf scores" in out
    assert out.endswith("wrote   out\n")
    assert len(_train_rows(tmp_path / "out").splitlines()) == 9


def test_without_an_output_it_says_that_nothing_was_written(inputs, tmp_path, capsys):
    before = sorted(tmp_path.iterdir())
    assert cli.main(["select", *inputs, "--k", "3"]) == 0
    assert "nothing written" in capsys.readouterr().out
    assert sorted(tmp_path.iterdir()) == before


def test_a_manifest_repeats_the_run(inputs, tmp_path, capsys):
    options = ["--k", "9", "--format", "jsonl", "--weights", "[3, 2, 1]", "--scale", "2.5"]
    cli.main(["select", *inputs, *options, "--output", "first"])
    status = cli.main(["select", "--config", "first/manifest.json", "--output", "second"])
    assert status == 0
    assert capsys.readouterr().out.endswith("same rows as in the manifest\n")
    assert _train_rows(tmp_path / "first") == _train_rows(tmp_path / "second")


def test_k_auto_is_repeated_from_its_manifest(inputs, tmp_path, capsys):
    assert cli.main(["select", *inputs, "--k", "auto", "--output", "first"]) == 0
    assert (
        json.loads((tmp_path / "first" / "manifest.json").read_text())["arguments"]["k"] == "auto"
    )
    assert cli.main(["select", "--config", "first/manifest.json"]) == 0
    assert "same rows as in the manifest" in capsys.readouterr().out


def test_a_manifest_whose_pool_changed_is_not_called_repeated(inputs, tmp_path, capsys):
    cli.main(["select", *inputs, "--k", "9", "--output", "first"])
    lines = (tmp_path / "pool.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "pool.jsonl").write_text("".join(lines[60:]))
    status = cli.main(["select", "--config", "first/manifest.json"])
    assert status == 1
    assert "the pool is not the one of the manifest" in capsys.readouterr().err


def test_options_beside_a_manifest_change_the_run(inputs, capsys):
    cli.main(["select", *inputs, "--k", "9", "--output", "first"])
    assert cli.main(["select", "--config", "first/manifest.json", "--k", "4"]) == 0
    assert "4 rows by" in capsys.readouterr().out


def test_a_yaml_config_is_read_and_overridden(inputs, tmp_path, capsys):
    config = {"pool": "pool.jsonl", "targets": "targets.jsonl", "scorer": "bm25", "k": 7}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    assert cli.main(["select", "--config", "run.yaml", "--selector", "round_robin"]) == 0
    assert "7 rows by round_robin on bm25 scores" in capsys.readouterr().out


def test_columns_can_be_given_field_by_field(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pool.csv").write_text("q,a\nwhat,this\nwhy,that\n")
    status = cli.main(
        ["select", "--pool", "pool.csv", "--targets", "pool.csv", "--k", "1", "--scorer", "tfidf",
         "--columns.prompt", "q", "--columns.completion", "a", "--leakage", "off"]
    )  # fmt: skip
    assert status == 0
    assert "1 row by" in capsys.readouterr().out


FAILURES = {
    "missing file": (["--pool", "nope.jsonl"], "no file matches 'nope.jsonl'"),
    "malformed line": (["--pool", "bad.jsonl"], "bad.jsonl, line 2: not valid JSON"),
    "k above pool": (["--k", "500"], "k = 500 is larger than the pool of 120 rows"),
    "output below a file": (["--output", "pool.jsonl/out"], "cannot write"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_errors_are_one_line_and_exit_with_one(inputs, tmp_path, capsys, case):
    (tmp_path / "bad.jsonl").write_text('{"text": "fine"}\n{"text": \n')
    change, message = FAILURES[case]
    kept = inputs if change[0] != "--pool" else inputs[2:]
    status = cli.main(["select", *kept, *change])
    captured = capsys.readouterr()
    assert status == 1
    assert captured.out == ""
    assert captured.err.startswith("curate select: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["select", "--bogus"], ["select"], ["choose"], []])
def test_wrong_usage_exits_with_two(arguments, capsys):
    assert cli.main(arguments) == 2
    shown = capsys.readouterr().err
    assert "error:" in shown
    assert shown.count("\n") == 1


def test_an_interrupt_is_not_a_traceback(inputs, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("curate.stages.inputs.read_rows", interrupted)
    assert cli.main(["select", *inputs]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_embed_reports_what_it_reused(inputs, capsys):
    embed = ["embed", "--pool", "targets.jsonl", "--store", "store", "--progress", "false"]
    assert cli.main(embed) == 0
    assert "3 encoded" in capsys.readouterr().out
    assert cli.main(embed) == 0
    assert "3 found there or repeating" in capsys.readouterr().out


@pytest.mark.slow
def test_the_demo_shows_its_selectors_and_writes_its_files(tmp_path, capsys):
    status = cli.main(
        ["demo", "--output", str(tmp_path / "d"), "--rows", "120", "--k", "3", "--targets", "1",
         "--progress", "false"]
    )  # fmt: skip
    out = capsys.readouterr().out
    assert status == 0
    for name in ("layered_greedy", "top_k_mean", "random", "tfidf", "airrep"):
        assert name in out
    assert (tmp_path / "d" / "selection" / "train.parquet").exists()
    precision = {line.split()[0]: float(line.split()[1]) for line in out.splitlines()
                 if line.startswith(("layered_greedy ", "random "))}  # fmt: skip
    assert precision["layered_greedy"] > 5 * precision["random"]
