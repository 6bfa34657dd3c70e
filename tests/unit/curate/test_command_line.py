"""The command line for scripts: JSON, standard input, config files, the environment, statuses."""

import io
import json
import subprocess
import sys
from functools import wraps
from pathlib import Path

import numpy as np
import pytest
from cyclopts import CycloptsError

from curate import cli, lds, select
from curate.command_line.config import ConfigFile
from curate.command_line.verbs import VERBS
from curate.demo_data import demo_pool, demo_targets
from eval_harness.measures.datamodeling import LdsResult

SELECT = ["select", "--pool", "pool.jsonl", "--targets", "targets.jsonl", "--scorer", "tfidf"]
COPIED = {"prompt": "Say how many legs a spider has, please, and why that is so.",
          "completion": "A spider has eight legs, since it belongs to the arachnids and not to the "
                        "insects, all of which have six legs."}  # fmt: skip


def _lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Files in the current directory: a pool, targets, and a pool with a copy and a leak."""
    monkeypatch.chdir(tmp_path)
    Path("pool.jsonl").write_text(_lines(demo_pool(80)))
    Path("targets.jsonl").write_text(_lines(demo_targets("email_reply", 3)))
    Path("copies.jsonl").write_text(_lines([COPIED, COPIED, *demo_pool(40)]))
    Path("test.jsonl").write_text(_lines([COPIED]))


@pytest.fixture
def piped(monkeypatch):
    """Put a text on standard input."""

    def put(text):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    return put


@pytest.fixture
def run(capsys):
    """Run a command; its status, and what it wrote to standard output and standard error."""

    def call(*words):
        status = cli.main([str(word) for word in words])
        return (status, *capsys.readouterr())

    return call


@pytest.fixture
def answer(run):
    """Run a command with --json; the object that it printed."""

    def call(*words, status=0):
        found, out, err = run(*words, "--json")
        assert found == status, err
        assert out.count("\n") == 1
        return json.loads(out)

    return call


def _argument(directory, name):
    return json.loads(Path(directory, "manifest.json").read_text())["arguments"][name]


# --- JSON ---


def test_a_selection_as_json_is_the_one_that_is_written(answer):
    found = answer(*SELECT, "-k", 5, "-o", "out", "--format", "jsonl")
    assert set(found) == {"output", "rows", "ids", "guard", "manifest"}
    written = [json.loads(line) for line in Path("out/selection.jsonl").read_text().splitlines()]
    assert found["rows"] == [row["curate_row"] for row in written]
    assert found["ids"] == [str(row) for row in found["rows"]]
    assert found["output"] == "out"
    saved = json.loads(Path("out/manifest.json").read_text())
    assert found["manifest"] == {key: saved[key] for key in found["manifest"]}


def test_a_check_as_json_has_counts_and_cases(answer):
    found = answer("check", "--pool", "copies.jsonl", "--test", "test.jsonl")
    assert found["counts"]["leaks"] == 2
    assert found["counts"]["duplicates"] == 1
    assert {"row", "id", "reason", "of", "share", "span"} == set(found["warned"][0])


def test_explanations_and_verifications_as_json(answer):
    chosen = answer(*SELECT, "-k", 5, "-o", "out")["ids"]
    row = answer("explain", "out", chosen[0])
    assert (row["id"], row["status"], row["rank"]) == (chosen[0], "chosen", 0)
    target = answer("explain", "out", "1", "--target")
    assert (target["id"], target["chosen"]) == ("1", 5)
    assert answer("verify", "out")["fine"] is True
    Path("out/train.parquet").write_bytes(b"damaged")
    found = answer("verify", "out", status=1)
    assert found["fine"] is False
    assert {"file", "problem", "mend", "repair"} == set(found["findings"][0])


def test_json_of_texts_that_steer_a_terminal_can_be_read(answer):
    odd = {"prompt": "\x1b[31mred \x7f \x9b \x00 “x”", "completion": "a\nb"}
    Path("odd.jsonl").write_text(_lines([odd, *demo_pool(40)]))
    answer("select", "--pool", "odd.jsonl", "--targets", "odd.jsonl", "--scorer", "tfidf", "-k", 1,
           "-o", "out", "--leakage", "off")  # fmt: skip
    assert answer("explain", "out", "0")["text"]["prompt"] == odd["prompt"]


def test_lds_as_json(monkeypatch, answer):
    result = LdsResult(0.5, float("nan"), 0.75, np.array([0.25, 0.75]), 0, 4)
    monkeypatch.setattr("curate.verbs.lds.lds", wraps(lds)(lambda **_: result))
    found = answer("lds", "--runs", "r", "--pool", "p", "--evaluation", "e")
    assert found["per_target"] == [0.25, 0.75]
    assert (found["mean"], found["low"], found["high"]) == (0.5, None, 0.75)


# --- standard input ---


def test_a_pool_from_standard_input_gives_the_rows_of_the_file(run, piped, answer):
    of_file = answer(*SELECT, "-k", 5)["rows"]
    piped(Path("pool.jsonl").read_text())
    words = ["select", "--pool", "-", *SELECT[3:], "-k", "5"]
    assert answer(*words, "-o", "out")["rows"] == of_file
    stated = json.loads(Path("out/manifest.json").read_text())["inputs"]["pool"]
    assert (stated["name"], stated["rows"]) == ("standard input", 80)


def test_targets_too_can_come_from_standard_input(run, piped):
    piped(Path("targets.jsonl").read_text())
    status, out, _ = run("check", "--pool", "pool.jsonl", "--targets", "-")
    assert status == 0
    assert "0 leaks" in out


def test_a_manifest_of_standard_input_is_repeated_only_with_the_rows(run, piped):
    piped(Path("pool.jsonl").read_text())
    assert run("select", "--pool", "-", *SELECT[3:], "-k", 5, "-o", "out")[0] == 0
    status, _, err = run("select", "--config", "out/manifest.json")
    assert status == 2
    assert "the pool came from standard input" in err
    for pool in ("-", "pool.jsonl"):
        piped(Path("pool.jsonl").read_text())
        again = run("select", "--config", "out/manifest.json", "--pool", pool)
        assert again[0] == 0
    piped(Path("pool.jsonl").read_text())
    assert run("select", "--config", "out/manifest.json", "--pool", "-")[1].endswith(
        "same rows as in the manifest\n"
    )


def test_standard_input_is_one_input_of_readable_lines(run, piped, monkeypatch):
    assert "only one of --pool and --targets" in run("check", "--pool", "-", "--targets", "-")[2]
    piped('{"text": "fine"}\n{"text": \n')
    status, _, err = run("check", "--pool", "-")
    assert status == 1
    assert "standard input, line 2: not valid JSON" in err
    piped("")
    assert "holds no rows" in run("check", "--pool", "-")[2]
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "cannot share standard input" in run("check", "--pool", "-")[2]


# --- config files and the environment ---


def test_an_option_counts_more_than_a_config_and_that_more_than_the_environment(run, monkeypatch):
    Path("run.yaml").write_text("k: 4\nformat: jsonl\n")
    for name, value in {"K": "3", "FORMAT": "parquet", "SEED": "7", "NO_SUCH": "x"}.items():
        monkeypatch.setenv(f"CURATE_{name}", value)
    assert run(*SELECT, "--config", "run.yaml", "-k", "5", "-o", "out")[0] == 0
    assert [_argument("out", name) for name in ("k", "format", "seed")] == [5, "jsonl", 7]
    assert run(*SELECT, "--config", "run.yaml", "-o", "again")[0] == 0
    assert _argument("again", "k") == 4
    assert run(*SELECT, "-o", "environment")[0] == 0
    assert _argument("environment", "k") == 3


def test_the_environment_holds_lists_mappings_truths_and_configs(run, monkeypatch):
    Path("run.yaml").write_text("k: 4\n")
    for name, value in {
        "CONFIG": "run.yaml", "WEIGHTS": "[1, 2, 3]", "PROGRESS": "false",
        "TARGET_COLUMNS": "{prompt: prompt, completion: completion}",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"CURATE_{name}", value)
    assert run(*SELECT, "-o", "out")[0] == 0
    assert _argument("out", "weights") == [1, 2, 3]
    assert _argument("out", "k") == 4
    assert _argument("out", "target_columns") == {"prompt": "prompt", "completion": "completion"}


def test_a_wrong_value_of_the_environment_names_the_variable(run, monkeypatch):
    monkeypatch.setenv("CURATE_K", "many")
    status, _, err = run(*SELECT)
    assert status == 2
    assert "CURATE_K" in err


def test_a_config_says_what_is_wrong_with_it(run):
    for text, message in (
        ("kk: 3", "Unknown option: --kk"),
        ("dupilcates: warn", "Did you mean --duplicates?"),
        ("k: many", "k in run.yaml: expected a whole number or auto"),
        ("{2020-01-01: 3}", "Unknown option: --2020-01-01"),
        ("columns: {2020-01-01: 3}", "columns in run.yaml"),
        ("scale: .nan", "scale"),
        ("[1, 2]", "expected options and their values"),
    ):
        Path("run.yaml").write_text(text)
        status, _, err = run(*SELECT, "--config", "run.yaml")
        assert status in (1, 2)
        assert message in err
        assert err.count("\n") == 1


def test_a_key_beside_a_config_is_added_to_its_mapping(run):
    Path("run.yaml").write_text("constraints: {exclude: ['3'], max_per_source: {'*': 2}}\n")
    more = ["--constraints.max_per_source.email_reply", "1", "-k", "4", "-o", "out"]
    assert run(*SELECT, "--config", "run.yaml", *more)[0] == 0
    assert _argument("out", "constraints")["exclude"] == ["3"]
    assert _argument("out", "constraints")["max_per_source"] == {"email_reply": 1}


def test_text_that_is_yaml_for_something_else_stays_text(run):
    Path("123").mkdir()
    assert run(*SELECT, "-k", "3", "-o", "123")[0] == 0
    assert Path("123/manifest.json").exists()
    assert run(*SELECT, "-k", "3", "-o", "off", "--leakage", "off")[0] == 0
    assert _argument("off", "leakage") == "off"


def test_several_values_may_be_separated_by_commas(run):
    more = ["-k", "3", "-o", "out", "--weights", "1,2.5,3", "--seed", "1"]
    assert run("select", *SELECT[1:5], "--scorer", "tfidf,bm25", *more)[0] == 0
    assert _argument("out", "weights") == [1, 2.5, 3]
    assert _argument("out", "scorer") == ["tfidf", "bm25"]


def test_scores_and_embeddings_of_files_are_named_like_scorers_and_encoders(run):
    np.save("scores.npy", np.random.default_rng(0).normal(size=(3, 80)).astype("float32"))
    np.save("targets.npy", np.eye(3, 4, dtype="float32"))
    np.save("pool.npy", np.ones((80, 4), dtype="float32"))
    start = [*SELECT[:5], "-k", "3", "-o"]
    for number, scorer in enumerate(("scores.npy", "[tfidf, scores.npy]")):
        assert run(*start, number, "--scorer", scorer)[0] == 0
    assert run(*start, "pair", "--encoder", "[targets.npy, pool.npy]")[0] == 0
    status, _, err = run(*start, "x", "--scorer", "[tfidf, scores.csv]")
    assert status == 2
    assert "found '[tfidf, scores.csv]'" in err


# --- exit statuses, times and causes ---


@pytest.mark.parametrize(
    ("pool", "names", "status"),
    [
        ("copies.jsonl", "leaks", 1),
        ("copies.jsonl", "[duplicates]", 1),
        ("copies.jsonl", "leaks,duplicates", 1),
        ("pool.jsonl", "leaks,duplicates", 0),
        ("pool.jsonl", "leeks", 2),
    ],
)
def test_a_check_fails_on_what_it_was_told_to(run, pool, names, status):
    found, _, err = run("check", "--pool", pool, "--test", "test.jsonl", "--fail-on", names)
    assert found == status
    assert ("found" in err) == bool(status)


def test_a_check_that_cannot_find_leaks_does_not_pass(run):
    status, _, err = run("check", "--pool", "pool.jsonl", "--fail-on", "leaks")
    assert status == 2
    assert "needs --targets or --test" in err


def test_verbose_shows_times_and_causes(run):
    status, out, err = run(*SELECT, "-k", "3", "-v")
    assert status == 0
    assert "score" in err
    assert "in all" in err
    assert "in all" not in out
    Path("bad.jsonl").write_bytes(b"\xff\n")
    status, _, err = run("check", "--pool", "bad.jsonl", "-v")
    assert status == 1
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("curate check: bad.jsonl")


def test_quiet_shows_no_progress_and_every_verb_knows_it(run, monkeypatch):
    seen = {}
    doubled = wraps(select)(lambda **given: seen.update(given))
    monkeypatch.setattr("curate.verbs.select.select", doubled)
    monkeypatch.setattr(cli, "as_text", lambda *_: "")
    for words, progress in (([], True), (["-q"], False), (["--no-progress"], False)):
        assert run(*SELECT, *words)[0] == 0
        assert seen["progress"] is progress
    assert run("check", "--pool", "pool.jsonl", "-q")[0] == 0


# --- completion ---


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_verbs_options_and_choices(run, own_home, shell):
    status, out, _ = run("--install-completion", "--shell", shell, "-o", "completion")
    assert status == 0
    assert "completion" in out
    script = Path("completion").read_text()
    for word in ("harmful", "on_bad_row", "layered_greedy", "evaluation_columns"):
        assert word in script


def test_completion_is_installed_for_the_shell_that_runs(run, own_home):
    status, out, _ = run("--install-completion")
    assert status == 0
    assert str(own_home) in out
    assert "curate" in (own_home / ".bashrc").read_text("utf-8")


def test_what_is_not_asked_for_is_not_imported(run):
    code = (
        "import sys, curate.cli; curate.cli.main(['verify', '--help'])\n"
        "assert not {'torch', 'datasets', 'sklearn', 'curate.verbs.select'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_options_are_read_the_same_where_pydantic_is_imported():
    """cyclopts asks it about values then, as trl and Ray may have imported it."""
    pytest.importorskip("pydantic")
    words = [*SELECT[:-2], "-k", "5", "--scorer", "[tfidf, bm25]", "--columns.prompt", "prompt",
             "--weights", "1,2,3", "--constraints", "{exclude: [1]}"]  # fmt: skip
    found = cli.parsed(words, ConfigFile())
    assert (found["k"], found["scorer"]) == (5, ["tfidf", "bm25"])
    assert (found["columns"], found["weights"]) == ({"prompt": "prompt"}, [1, 2, 3])
    assert found["constraints"] == {"exclude": [1]}
    for name in VERBS:
        with pytest.raises(CycloptsError):
            cli.parsed([name, "--unknown"], ConfigFile())
    assert cli.parsed(["check", "--pool", "a", "--config", "c.yaml"], _NoConfig()) is not None


class _NoConfig(ConfigFile):
    def __call__(self, *_):
        pass
