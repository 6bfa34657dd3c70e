"""`curate benchmark`: a config and files in, tables, pictures and trials out."""

import json
import os
import re
import shutil
import signal
from contextlib import redirect_stdout
from dataclasses import asdict
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file, save_file

import curate
from airrep.errors import ArgumentError, FileFormatError, MissingInputError, OutputError
from curate import cli
from curate.configs.files import load_config
from curate.demo_data import demo_pool, demo_targets
from curate.verbs.benchmark import PATHS
from eval_harness.benchmark import trials as trials_module
from eval_harness.benchmark.config import BenchmarkConfig, read_config

TASKS = ["email_reply", "sql_query"]
CONFIG = {
    "model": "lm", "pool": "data/pool*.jsonl", "targets": "data/targets.jsonl",
    "test": "data/test.jsonl", "template_field": "form", "max_tokens": 64, "stack": 6,
    "columns": {"source": "task"},
    "recipe": {"epochs": 1, "learning_rate": 1e-2, "batch_size": 4, "precision": "float32"},
    "methods": {"tfidf": {}, "bm25": {}, "words": {"kind": "tfidf+bm25"}},
    "attribution": {
        "subsets": 5, "validation_subsets": 4, "size": 4, "repeats": 2, "targets": 5,
        "validation": 6, "cheap": ["last:1"], "scales": [1, 20],
    },
    "selection": {
        "budgets": {"present": [4], "templates_held_out": [4]}, "targets": 3, "evaluation": 4,
        "seeds": 2, "scorers": ["tfidf"], "selector": "coverage",
        "accuracy": {"rows": 1, "max_new_tokens": 2},
    },
}  # fmt: skip
SELECTING = {**CONFIG, "attribution": None}
SELECTING["selection"] = {**CONFIG["selection"], "accuracy": None}
# The same command line: after one trial it rests until a file is there.
RESTING = """
    import sys, time
    from pathlib import Path
    from eval_harness.benchmark.trials import Trials
    run, done, go = Trials._run, [], Path(sys.argv.pop(1))
    def rest(*given):
        while done and not go.exists(): time.sleep(0.01)
        done.append(run(*given))
        return done[-1]
    Trials._run = rest
    from curate.cli import main
    sys.exit(main(sys.argv[1:]))
"""


def _write(file, rows):
    rows = [{**row, "form": f"form {i % 2}"} for i, row in enumerate(rows)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_lm):
    """A folder with a model, data and two configs."""
    folder = tmp_path_factory.mktemp("benchmark")
    (folder / "data").mkdir()
    pool = [row for row in demo_pool(400) if row["task"] in (*TASKS, "dialogue_summary")]
    held_out = [demo_targets(task, 18) for task in TASKS]
    _write(folder / "data" / "pool.jsonl", pool)
    _write(folder / "data" / "targets.jsonl", [row for rows in held_out for row in rows[:12]])
    _write(folder / "data" / "test.jsonl", [row for rows in held_out for row in rows[12:]])
    shutil.copytree(tiny_lm, folder / "lm")
    for name, config in (("whole", CONFIG), ("selecting", SELECTING)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture(scope="module")
def whole(place):
    """The directory of a benchmark that was run from elsewhere, and what it printed."""
    command = ["benchmark", str(place / "whole.yaml"), "--output", str(place / "whole")]
    with redirect_stdout(StringIO()) as printed:
        assert cli.main([*command, "--progress", "false"]) == 0
    return place / "whole", printed.getvalue()


def _trials(directory):
    found = pd.read_parquet(directory / "trials.parquet")
    return found.drop(columns=[c for c in found if c.endswith("_seconds")])


def test_the_result_is_printed_and_written(whole):
    directory, printed = whole
    text = (directory / "results.md").read_text()
    assert printed == f"{text}\nwrote   {directory}\n"
    assert "## Attribution" in text
    assert "## Downstream" in text
    assert "**templates_held_out, 4 rows**" in text
    assert "Noise: two seeds of the same subsets agree at" in text
    assert "| last:1 |" in text
    assert "nan" not in text
    for picture in ("attribution", "trials"):
        assert (directory / f"{picture}.png").read_bytes().startswith(b"\x89PNG")


def test_the_tables_hold_every_method_and_arm(whole):
    directory, _ = whole
    attributed = pd.read_parquet(directory / "attribution.parquet")
    assert sorted(attributed["method"]) == ["bm25", "tfidf", "words"]
    assert attributed["scale"].isin([1, 20]).all()
    for name in ("sum", "attention"):
        inside = attributed[name].between(attributed[f"{name}_low"], attributed[f"{name}_high"])
        assert inside.all()
    tried = _trials(directory)
    assert len(tried) == 2 * 2 * 2 * (1 + 3 + 1)
    for row in tried.itertuples():
        shown = 3 if row.setting == "templates_held_out" else 4  # half of the six test rows
        assert len(row.losses) == shown
        assert row.loss == pytest.approx(row.losses.mean(), abs=1e-12)
    facts = json.loads((directory / "attribution.json").read_text())
    assert facts["ceiling"]["single_low"] <= facts["ceiling"]["single_high"]
    assert facts["cheap"][0]["trainable"] == "last:1"
    assert len(facts["differences"]["rows"]) == 2


def test_the_same_command_again_trains_nothing(whole, place, monkeypatch, written_under):
    directory, printed = whole
    for name in (
        "eval_harness.runs.subset_runs._run_stack",
        "eval_harness.benchmark.trials.Trials._run",
        "eval_harness.benchmark.methods.ScoreFiles._compute",
    ):
        monkeypatch.setattr(name, lambda *_: pytest.fail("done before"))
    written = written_under(directory / ".lock")
    result = curate.benchmark(place / "whole.yaml", directory)
    assert {"attribution.parquet", "trials.parquet", "checksums.json"} <= written.keys()
    assert all(written.values()), "no other process writes results in between"
    assert str(result) == result.markdown == printed.removesuffix(f"\nwrote   {directory}\n")
    assert len(result.trials) == 40
    assert [row["method"] for row in result.attribution] == ["bm25", "tfidf", "words"]


def _changed(place, name, **changes):
    file = place / f"{name}.yaml"
    file.write_text(yaml.safe_dump({**CONFIG, **changes}))
    return file


def test_a_directory_belongs_to_one_config(whole, place, capsys):
    file = _changed(place, "other", seed=1, stack=5)
    assert cli.main(["benchmark", str(file), "--output", str(whole[0])]) == 1
    shown = capsys.readouterr().err
    assert "holds another benchmark (config.json: seed, stack differ); use another" in shown


def test_a_config_that_cannot_be_run_can_be_mended(place, tmp_path):
    """The directory is not bound to what was refused."""
    selection = {**SELECTING["selection"], "budgets": {"present": [100_000]}}
    file = _changed(place, "impossible", attribution=None, selection=selection)
    with pytest.raises(ArgumentError, match="budget 100000 is larger than the pool"):
        curate.benchmark(file, tmp_path)
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize("what", ["text", "template", "model"])
def test_and_to_its_rows_and_model(what, whole, place, tmp_path):
    """Behind the same names in the config."""
    shutil.copytree(place, tmp_path / "b")
    copy = tmp_path / "b"
    recorded = copy / "whole" / "config.json"
    recorded.write_text(recorded.read_text().replace(str(place), str(copy)))
    assert len(curate.benchmark(copy / "whole.yaml", copy / "whole").trials) == 40
    pool = copy / "data" / "pool.jsonl"
    if what == "text":
        pool.write_text(pool.read_text().replace("a", "e", 1))
    elif what == "template":
        pool.write_text(pool.read_text().replace("form 0", "form 1", 1))
    else:
        weights = load_file(copy / "lm" / "model.safetensors")
        weights["model.norm.weight"] = 1.1 * weights["model.norm.weight"]
        save_file(weights, copy / "lm" / "model.safetensors", {"format": "pt"})
    name = "model" if what == "model" else "pool"
    with pytest.raises(OutputError, match=rf"another benchmark \(inputs\.json: {name} differ\)"):
        curate.benchmark(copy / "whole.yaml", copy / "whole")


@pytest.mark.slow
def test_a_killed_benchmark_goes_on_and_processes_share_the_work(
    program, place, monkeypatch, wait_until
):
    undisturbed = curate.benchmark(place / "selecting.yaml", place / "undisturbed")
    assert undisturbed.attribution == []
    output = place / "shared"
    command = ["benchmark", "selecting.yaml", "--output", str(output), "--progress", "false"]

    def trials():
        return len(list(output.glob("trials/*.json")))

    def start(go):
        """One that has done a trial."""
        before, process = trials(), program(RESTING, go, *command, folder=place)
        wait_until(lambda: trials() == before + 1, "a trial", of=process)
        return process

    killed = start(place / "never")
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (output / "results.md").exists()
    before = trials()
    other = start(place / "go")
    mine = []
    run = trials_module.Trials._run

    def run_and_tell(*given):
        rows = run(*given)
        mine.append(given[1:])
        (place / "go").touch()
        return rows

    monkeypatch.setattr(trials_module.Trials, "_run", run_and_tell)
    monkeypatch.chdir(place)
    assert cli.main(command) == 0
    assert other.wait() == 0, other.stderr
    assert 0 < len(mine) < 8 - before
    pd.testing.assert_frame_equal(_trials(output), _trials(place / "undisturbed"))
    leftovers = [f for f in output.rglob("*.tmp") if f.is_file()]
    assert len(leftovers) <= 1, "at most what the kill left, under a name that nothing reads"


def test_the_documented_config_has_every_setting(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "evidence.md").read_text("utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (tmp_path / "config.yaml").write_text(block)
    given = load_config(tmp_path / "config.yaml", PATHS)
    shown = asdict(read_config(given))

    def keys(values, where=""):
        for key, value in values.items():
            yield where + key
            if isinstance(value, dict) and key in (
                "recipe",
                "attribution",
                "selection",
                "accuracy",
            ):
                yield from keys(value, f"{where}{key}.")

    assert sorted(keys(given)) == sorted(keys(shown))
    default = asdict(BenchmarkConfig("", "", "", ""))
    changed = {"model", "pool", "targets", "test", "columns", "template_field", "methods"}
    for key in set(default) - changed - {"attribution", "selection"}:
        assert shown[key] == default[key], "the example shows defaults, where a default will do"


# --- what is refused ---


def test_numbers_like_2e_5_are_numbers(place):
    file = place / "small-rate.yaml"
    file.write_text("recipe: {learning_rate: 2e-5}\nattribution: null\nselection: null\n"
                    "model: lm\npool: p\ntargets: t\ntest: e\n")  # fmt: skip
    with pytest.raises(ArgumentError, match="nothing to measure"):  # and not the rate
        curate.benchmark(file, place / "never")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("a: [", FileFormatError, r"bad\.yaml: not YAML \("),
        ("- a\n", FileFormatError, r"bad\.yaml: expected settings, found list"),
        ("", FileFormatError, r"bad\.yaml: expected settings, found NoneType"),
        ("\xff", FileFormatError, r"bad\.yaml: not YAML"),
        ("modle: lm\n", ArgumentError, r"setting 'modle' is unknown"),
    ],
)
def test_a_file_that_is_no_config(text, error, message, tmp_path):
    (tmp_path / "bad.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(error, match=message):
        curate.benchmark(tmp_path / "bad.yaml", tmp_path / "never")


def test_no_file_at_all(tmp_path, capsys):
    assert cli.main(["benchmark", str(tmp_path / "no.yaml"), "--output", "out"]) == 1
    assert "no.yaml: no such config can be read" in capsys.readouterr().err
    with pytest.raises(MissingInputError, match="no such config can be read"):
        curate.benchmark(tmp_path, tmp_path / "never")


def test_a_template_field_has_to_be_there(place):
    with pytest.raises(
        ArgumentError, match=r"pool: there is no field 'shape' \(template_field\); found prompt, c"
    ):
        curate.benchmark(_changed(place, "shape", template_field="shape"), place / "never")


def test_a_row_of_the_test_file_in_the_pool_is_refused_before_anything_is_written(place, tmp_path):
    shutil.copytree(place / "data", tmp_path / "data")
    first = (tmp_path / "data" / "test.jsonl").read_text().splitlines()[0]
    with (tmp_path / "data" / "pool.jsonl").open("a") as stream:
        stream.write(first + "\n")
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({**CONFIG, "model": str(place / "lm")}))
    with pytest.raises(ArgumentError, match=r"test row 0 \(id '0'\) is also pool row 30"):
        curate.benchmark(file, tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_mapping_is_as_good_as_a_file(place, whole, monkeypatch):
    monkeypatch.chdir(place)
    with pytest.raises(OutputError, match="model, pool, targets, test differ"):
        curate.benchmark(CONFIG, whole[0])  # the file's paths were made absolute
    absolute = {key: str(place / CONFIG[key]) for key in ("model", "pool", "targets", "test")}
    assert len(curate.benchmark({**CONFIG, **absolute}, whole[0]).trials) == 40


def test_an_encoder_is_looked_for_beside_the_config_too(place):
    file = _changed(place, "encoder", methods={"airrep": {"encoder": "lm"}, "mine": {"rank": 2}})
    values = load_config(file, PATHS)
    assert values["methods"] == {
        "airrep": {"encoder": str(place / "lm")}, "mine": {"rank": 2},
    }  # fmt: skip
    assert values["pool"] == str(place / "data" / "pool*.jsonl")
