"""Every script of examples/ runs in a reduced form, and every config there can be carried out."""

from __future__ import annotations

import argparse
import ast
import os
import random
import re
import runpy
import shlex
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

import curate
from airrep import AirRep, AirRepConfig, AirRepModel

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(
    str(file.relative_to(EXAMPLES))
    for file in EXAMPLES.rglob("*.py")
    if "__main__" in file.read_text("utf-8")
)
CONFIGS = sorted(str(file.relative_to(EXAMPLES)) for file in EXAMPLES.rglob("*.yaml"))
SOURCES = (
    "ag_news", "amazon_polarity", "app_reviews", "common_gen", "commonsense_qa", "dbpedia_14",
    "dream", "gigaword", "glue_mrpc", "glue_qqp", "imdb", "kilt_tasks_hotpotqa",
    "paws_labeled_final", "qasc", "quarel", "quartz", "rotten_tomatoes", "samsum", "sciq",
    "social_i_qa", "wiki_qa", "xsum", "yelp_review_full",
)  # fmt: skip
# Rows of each source: enough for what the configs ask for, and enough for a reduced form.
MANY = {"pretrain": 5, "pool": 250, "target": 220, "test": 110}
FEW = {"pretrain": 2, "pool": 8, "target": 6, "test": 16}
ASKED = {
    "glue_qqp": 'Are the questions "{}" and "{}" asking the same thing?',
    "glue_mrpc": "Do the following two sentences mean the same thing?\n{}\n{}",
}


@dataclass(frozen=True)
class Reduced:
    """A script's reduced form; {data}, {lm}, {out} … are fixtures below.

    Attributes:
        arguments: Of its command line.
        makes: Files that are there afterwards, below {out}.
        says: What it prints, in part.
    """

    arguments: str
    makes: tuple[str, ...] = ()
    says: str = ""


def benchmark(name, arguments):
    """A script that reports as all benchmarks do."""
    return Reduced(f"{arguments} --output {{out}}", (f"{name}.md", f"{name}.json"))


REDUCED = {
    "benchmarks/attribution_cost.py": benchmark(
        "attribution_cost",
        "--model {lm} --data {data} --sizes 1M --rows 16 --repeats 1 --threads 1",
    ),
    "benchmarks/cascade.py": benchmark(
        "cascade",
        "--model {lm} --data {data} --pool 60 --k 5 --sources sciq --cheap tfidf --shares 0.2",
    ),
    "benchmarks/certified_scale.py": benchmark(
        "certified_scale", "--pool 2000 --targets 10 --dim 16 --k 20 --scratch {out}/scratch"
    ),
    "benchmarks/preference_scores.py": benchmark(
        "preference_scores",
        "--model {lm} --data {data} --pool 4 --targets 4 --steps 1 --threads 1",
    ),
    "benchmarks/pass_size.py": benchmark(
        "pass_size", "--tokens 16 32 --repeats 1 --threads 1"
    ),
    "benchmarks/encoder_throughput.py": benchmark(
        "encoder_throughput", "--rows 4 --repeats 1 --threads 1 --data {few}"
    ),
    "benchmarks/engines.py": benchmark(
        "engines",
        "--rows 16 --pool 2000 --targets 5 --k 10 --repeats 1 --data {data} "
        "--engines 'local, one thread'",
    ),
    "benchmarks/greedy_speed.py": benchmark("greedy_speed", "--quick --repeats 1"),
    "benchmarks/guard_quality.py": benchmark(
        "guard_quality", "{data} --rows 600 --planted 20 --seeds 1"
    ),
    "benchmarks/harmful_rows.py": benchmark(
        "harmful_rows_source",
        "--model {lm} --data {data} --seeds 1 --sources quartz sciq --own 20 --others 2 "
        "--targets 3",
    ),
    "benchmarks/lds_speed.py": benchmark(
        "lds_speed",
        "--targets 20 --subsets 10 --pool 200 --sizes 20 --draws 20 --loop-targets 5 "
        "--loop-draws 2 --repeats 1",
    ),
    "benchmarks/real_models.py": Reduced(
        "--model {lm} --data {data} --rows 4 --evaluated 3 --scored 2 --threads 1 "
        "--runs plain all lora:2 --peer-python {peer} --output {out}",
        ("real_models.md", "real_models.json"),
        "| Bergson 0.0 | 2.00 | 0.500 | 9 | 8 |",
    ),
    "benchmarks/report_cost.py": benchmark("report_cost", "--k 30 --repeats 1 --data {data}"),
    "benchmarks/stacked_training.py": benchmark(
        "stacked_training",
        "--model {lm} --data {data} --trainable last:1 --stacks 2 --repeats 1",
    ),
    "benchmarks/task_precision.py": benchmark(
        "task_precision_balanced", "--draws 1 --k 5 --rows 3 --targets 2 --data {data}"
    ),
    "select_and_fine_tune.py": Reduced(
        "{lm} {rows}/pool.jsonl {rows}/targets.jsonl --k 10 --epochs 1 --output {out}",
        ("layered_greedy/train.parquet", "random/train.parquet", "random/model/config.json"),
        "mean training loss",
    ),
    "t0/adam_gradient.py": Reduced(
        "--config {config} --results {results}", says="that, in Adam's metric"
    ),
    "t0/auto_k.py": Reduced(
        "{sizes} --arm 'tfidf · layered_greedy'", says="2 problems of 2 sources; auto chose"
    ),
    "t0/encoder/ablation.py": Reduced(
        "{training} --runs {trained} --output {out} --only 'as configured' 'without a teacher'",
        ("as_configured/encoder/config.json", "without_a_teacher/encoder/config.json"),
        "| without a teacher |",
    ),
    "t0/encoder/differences.py": Reduced("{results} tfidf random", says="all           loss"),
    "t0/encoder/start.py": Reduced(
        "{few}/t0.parquet --backbone {sentences} --output {out}/start", ("start/config.json",)
    ),
    "t0/encoder/whitened.py": Reduced(
        "{sentences} --token-pooling levels --rows {rows}/pool.jsonl {rows}/targets.jsonl "
        "--output {out}/whitened",
        ("whitened/config.json",),
    ),
    "t0/gradient_damping.py": Reduced(
        "--config {config} --results {results}", says="| 16 | Fisher, damping 30 |"
    ),
    "t0/nudge.py": Reduced(
        "--prepared {rows} --output {out}/nudge --pool-rows 30 --targets 6 --single 2 --subsets 3 "
        "--size 5 --clusters 3 --draws 2",
        ("nudge/runs/model.json",),
        "| nudge, jvp |",
    ),
    "t0/other_model.py": Reduced(
        "--data {few} --prepared {rows} --output {out}/other --steps 5",
        ("other/config.json", "other/model.safetensors"),
        "before",
    ),
    "t0/prepare.py": Reduced(
        "--data {few} --model {lm} --output {out} --pool-rows 60",
        ("pool.jsonl", "targets.jsonl", "test.jsonl", "model/config.json"),
    ),
    "t0/prepare_training.py": Reduced(
        "--data {data} --prepared {prepared} --pool-targets 20 --flan-rows 20",
        says="unseen/pool.jsonl",
    ),
    "t0/reselect.py": Reduced(
        "--prepared {rows} --output {out} --k 8 --epochs 2 --per-source 2 --batch-size 4",
        ("model/config.json", "selection.json"),
        "test loss",
    ),
}  # fmt: skip


# --- what the scripts read: rows in T0's form, of made-up words ---


class Wording:
    """Sentences of made-up words."""

    def __init__(self) -> None:
        self._draw = random.Random(0)
        letters = ("bdfgklmnprst", "aeiou")
        self._words = ["".join(self._draw.choice(part) for part in letters * 2) for _ in range(400)]

    def say(self, least, most):
        return " ".join(self._draw.choices(self._words, k=self._draw.randint(least, most)))

    def row(self, source, split, number):
        """One row; yes and no, copies and long texts are there because some scripts need them."""
        text, answer = self.say(6, 9), self.say(1, 3)
        if source in ASKED:
            text, answer = ASKED[source].format(text, self.say(6, 9)), ("yes", "no")[number % 2]
        if split == "pretrain" and number == 0:
            text, answer = self.say(300, 300), self.say(200, 200)
        return {
            "prompt": text, "completion": answer, "dataset": source,
            "template": f"{source} {number % 2}", "split": split,
        }  # fmt: skip


def write_t0(directory, splits):
    """t0.parquet and flan_cot.parquet, of so many rows of each source in each split."""
    wording = Wording()
    rows = [
        wording.row(source, split, number)
        for split, count in splits.items()
        for source in SOURCES
        for number in range(count)
    ]
    asked = {}  # rows of the pool with the content of a test row
    for row in reversed(rows):
        if row["split"] == "test" and row["dataset"] == "xsum":
            asked[row["prompt"]] = row
    for row, copied in zip(
        (r for r in rows if r["dataset"] == "xsum"), asked.values(), strict=False
    ):
        if row["split"] == "pool":
            row["prompt"] = f"{wording.say(2, 2)} {copied['prompt']}"
    pq.write_table(pa.Table.from_pylist(rows), directory / "t0.parquet")
    rows = [wording.row("aqua", "flan", number) for number in range(2200)]
    pq.write_table(
        pa.Table.from_pylist(rows).select(["prompt", "completion", "dataset"]),
        directory / "flan_cot.parquet",
    )


# --- places ---


def made(tmp_path_factory, splits):
    directory = tmp_path_factory.mktemp("data")
    write_t0(directory, splits)
    return directory


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Directory of t0.parquet and flan_cot.parquet."""
    return made(tmp_path_factory, MANY)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """The same with few rows."""
    return made(tmp_path_factory, FEW)


@pytest.fixture(scope="module")
def lm(tiny_lm):
    return tiny_lm


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """In place of a Python with Bergson: it wants rows with masked prompts, and gives figures."""
    file = tmp_path_factory.mktemp("peer") / "python"
    answer = '{"rate": 2, "cpu": 0.5, "width": 9, "mib": 8, "version": "0.0"}'
    file.write_text(f"""#!/bin/sh\ngrep -q '"labels": \\[-100, ' && echo '{answer}'\n""")
    file.chmod(0o755)
    return file


@pytest.fixture(scope="module")
def sentences(tmp_path_factory, tiny_lm):
    """Directory of a sentence encoder of one layer."""
    from transformers import AutoTokenizer

    config = AirRepConfig(
        vocab_size=512, hidden_size=192, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=512, pad_token_id=0, projection_dim=24,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AirRepModel(config).eval()
    directory = tmp_path_factory.mktemp("encoders") / "sentences"
    AirRep(model, AutoTokenizer.from_pretrained(tiny_lm)).save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def rows(few, lm, tmp_path_factory):
    """What prepare.py makes of few rows."""
    return prepare(few, lm, tmp_path_factory.mktemp("rows"), "100")


@pytest.fixture
def prepared(data, lm, tmp_path):
    """What prepare.py makes by default, where prepare_training.py can add to it."""
    return prepare(data, lm, tmp_path / "examples" / "out" / "t0", "2400")


def prepare(data, lm, directory, pool_rows):
    arguments = ["--data", data, "--model", lm, "--output", directory, "--pool-rows", pool_rows]
    with pytest.MonkeyPatch.context() as patch:
        run("t0/prepare.py", map(str, arguments), patch)
    return directory


RECIPE = {"epochs": 1, "learning_rate": 1e-2, "batch_size": 4, "precision": "float32"}
ATTRIBUTION = {
    "subsets": 5, "validation_subsets": 5, "size": 6, "repeats": 1, "targets": 5, "validation": 5,
    "scales": [1, 10],
}  # fmt: skip


@pytest.fixture(scope="module")
def config(rows):
    """A config of `curate benchmark`."""
    return written(rows / "benchmark.yaml", {
        "model": "model", "pool": "pool.jsonl", "targets": "targets.jsonl", "test": "test.jsonl",
        "max_tokens": 96, "recipe": RECIPE, "methods": {"tfidf": {}}, "attribution": ATTRIBUTION,
        "selection": {
            "budgets": {"present": [4]}, "sources": ["sciq", "xsum"], "targets": 2,
            "evaluation": 4, "seeds": 2, "scorers": ["tfidf"], "selector": "coverage",
            "accuracy": None,
        },
    })  # fmt: skip


@pytest.fixture(scope="module")
def results(config):
    """What that benchmark makes."""
    curate.benchmark(config, config.parent / "results")
    return config.parent / "results"


@pytest.fixture(scope="module")
def sizes(config, tmp_path_factory):
    """Where two benchmarks took as many rows as the scores ask for; one of them so many steps."""
    directory = tmp_path_factory.mktemp("sizes")
    values = yaml.safe_load(config.read_text()) | {"attribution": None}
    short = {"selector": None, "seeds": 1}
    for name, budgets in (("auto_k", ["auto", 100]), ("auto_k_steps", ["auto"])):
        steps = {"steps": 2} if name == "auto_k_steps" else {}
        values["selection"] |= {"budgets": {"present": budgets}, **short, **steps}
        curate.benchmark(written(config.parent / f"{name}.yaml", values), directory / name)
    return directory


@pytest.fixture(scope="module")
def training(rows, sentences):
    """A config of `curate train`."""
    return written(rows / "train.yaml", {
        "model": "model", "pool": "pool.jsonl", "targets": "targets.jsonl", "max_tokens": 96,
        "recipe": RECIPE,
        "supervision": {"splits": 1, "size": 6, "uniform": 4, "few_sources": 2, "selected": 2},
        "encoder": {"backbone": str(sentences), "token_pooling": "segments"},
        "training": {"dim": 8, "steps": 4, "evaluate_every": 2, "distil_rows": 8},
        "teacher": {"rank": 2, "damping": 30.0},
        "evaluation": {"attribution": ATTRIBUTION, "methods": {"tfidf": {}}},
    })  # fmt: skip


@pytest.fixture(scope="module")
def trained(training):
    """What that training makes."""
    curate.train(training, training.parent / "trained")
    return training.parent / "trained"


def written(file, values):
    file.write_text(yaml.safe_dump(values))
    return file


def run(script, arguments, monkeypatch):
    """The script as its command line would run it, here."""
    file = EXAMPLES / script
    monkeypatch.syspath_prepend(str(file.parent))
    monkeypatch.setattr(sys, "argv", [str(file), *arguments])
    return runpy.run_path(str(file), run_name="__main__")


# --- quick: each has a reduced form, and its arguments are arguments ---


def test_every_script_has_a_reduced_form():
    assert sorted(REDUCED) == SCRIPTS


class Parsed(BaseException):
    """Raised in place of what a script does with its arguments."""


@pytest.fixture
def parse(monkeypatch):
    """A script's arguments are parsed, and then it ends."""
    parse_args = argparse.ArgumentParser.parse_args

    def stop(self, *given):
        parse_args(self, *given)
        raise Parsed

    def check(script, arguments):
        with monkeypatch.context() as patch:
            patch.setattr(argparse.ArgumentParser, "parse_args", stop)
            with pytest.raises(Parsed):
                run(script, arguments, patch)

    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # some scripts set it where it is not set
    return check


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_reduced_forms_arguments_are_arguments(parse, script):
    parse(script, shlex.split(re.sub(r"\{\w+\}", "place", REDUCED[script].arguments)))


@cache
def _documented():
    """(where, script, arguments) of every command line that a page, script or config shows."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    texts = {page: page.read_text("utf-8") for page in [*pages, *EXAMPLES.rglob("*.yaml")]}
    for script in SCRIPTS:
        texts[EXAMPLES / script] = ast.get_docstring(ast.parse((EXAMPLES / script).read_text()))
    found = []
    for file, text in texts.items():
        folder = file.parent.relative_to(EXAMPLES) if EXAMPLES in file.parents else Path()
        for name, given in re.findall(
            r"python[ \n]+(?:examples/)?([\w/]+\.py)((?:\\\n|[^`\n#])*)", text
        ):
            scripts = (name, str(folder / name), f"t0/encoder/{name}")  # two pages go there first
            script = next((script for script in scripts if script in SCRIPTS), name)
            found.append((str(file.relative_to(ROOT)), script, given))
    return found


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_is_shown_of_a_script_can_be_typed(parse, script):
    shown = [(where, given) for where, shown, given in _documented() if shown == script]
    assert shown, "no page and no docstring says how to run it"
    for where, given in shown:
        if "…" in given or not given.strip():
            continue
        words = shlex.split(re.sub(r"[\[\]]", "", given.replace("\\\n", " ")))
        try:
            parse(script, ["1" if word in ("N", "S") else word for word in words])
        except SystemExit:
            pytest.fail(f"{where}: python {script}{given}")


def test_only_scripts_that_exist_are_shown():
    assert {script for _, script, _ in _documented()} <= set(SCRIPTS)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_config_is_a_config(config):
    """All its settings have names and values that are known."""
    from curate.configs.files import load_config
    from curate.verbs.benchmark import PATHS as OF_BENCHMARK
    from eval_harness.benchmark.config import BenchmarkConfig, read_config
    from eval_harness.encoder_training.config import PATHS, EncoderTrainingConfig
    from eval_harness.files.settings import read_settings

    file = EXAMPLES / config
    verb = _verb(file)
    if verb == "train":
        read = read_settings(EncoderTrainingConfig, load_config(file, PATHS))
        assert isinstance(read, EncoderTrainingConfig)
    else:
        assert verb == "benchmark"
        assert isinstance(read_config(load_config(file, OF_BENCHMARK)), BenchmarkConfig)


def _verb(file):
    """The verb that a config's comment says it is for, with its own path."""
    (verb, path) = re.search(
        r"# +curate (\w+) (\S+) --output \S+$", file.read_text(), re.M
    ).groups()
    assert ROOT / path == file
    return verb


# --- whole: each does its work ---

RUN = [script for script in SCRIPTS if "attribution_cost" not in script]  # which has its own test


@pytest.fixture
def as_found(monkeypatch):
    """What scripts set in their process is as it was afterwards."""
    threads = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")
    monkeypatch.setenv("CURATE_BENCH_DATA", "")
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.usefixtures("as_found", "few_draws")
@pytest.mark.parametrize("script", RUN)
def test_a_script_does_its_work(script, request, out, monkeypatch, capsys):
    reduced = REDUCED[script]
    named = set(re.findall(r"\{(\w+)\}", reduced.arguments))
    places = {name: request.getfixturevalue(name) for name in named}
    capsys.readouterr()
    run(script, shlex.split(reduced.arguments.format(**places)), monkeypatch)
    said = capsys.readouterr().out
    assert "skipped" not in said
    assert reduced.says in said
    for file in reduced.makes:
        assert (out / file).stat().st_size > 0
    assert reduced.makes or reduced.says


# --- configs: everything up to the first run is done ---


@pytest.fixture(scope="module")
def planned_place(data, lm, sentences, few_draws, tmp_path_factory):
    """A folder with a copy of examples/, and all rows and encoders that its configs name."""
    folder = tmp_path_factory.mktemp("planned")
    shutil.copytree(EXAMPLES / "t0", folder / "examples" / "t0")
    place = prepare(data, lm, folder / "out" / "t0", "2400")
    with pytest.MonkeyPatch.context() as patch:
        arguments = ["--data", str(data), "--prepared", str(place)]
        run("t0/prepare_training.py", arguments, patch)
    (place / "other_model").symlink_to(lm)
    curate.fit(place / "seen" / "targets.jsonl", lm, place / "gradient" / "encoder", max_tokens=128)
    for config in CONFIGS:
        for path in re.findall(r"(?:encoder|backbone): ([./\w]+)", (EXAMPLES / config).read_text()):
            encoder = Path(os.path.normpath(folder / "examples" / Path(config).parent / path))
            if not encoder.exists():
                encoder.parent.mkdir(parents=True, exist_ok=True)
                encoder.symlink_to(sentences)
    return folder


class Planned(BaseException):
    """Raised in place of the first run."""


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS)
def test_a_config_can_be_carried_out(config, planned_place, tmp_path, monkeypatch):
    """Rows are read and shared out, methods are made, and subsets and problems are drawn."""

    def stop(*_, **__):
        raise Planned

    monkeypatch.setattr("eval_harness.benchmark.attribution.run_subsets", stop)
    monkeypatch.setattr("eval_harness.encoder_training.drawn.run_subsets", stop)
    monkeypatch.setattr("eval_harness.benchmark.trials.Trials.run", stop)
    verb = getattr(curate, _verb(EXAMPLES / config))
    with pytest.raises(Planned):
        verb(planned_place / "examples" / config, tmp_path / "out")
