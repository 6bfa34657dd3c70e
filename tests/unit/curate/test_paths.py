"""Paths and options as users write them: `~`, nothing at all, the same option twice."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import yaml

import curate
from airrep import AirRep, EmbeddingStore
from airrep.errors import ArgumentError, CurateError
from curate import cli
from curate.demo_data import demo_pool, demo_targets
from curate.verbs.explain import explain
from curate.verbs.report import report

POOL, TARGETS = demo_pool(24), demo_targets("email_reply", 3)
pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home directory with a pool and targets; we are elsewhere, where nothing may appear."""
    place, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    place.mkdir()
    elsewhere.mkdir()
    for name, rows in (("pool", POOL), ("targets", TARGETS)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (place / f"{name}.jsonl").write_text(lines)
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.chdir(elsewhere)
    yield place
    assert not list(elsewhere.iterdir())


def test_a_tilde_is_the_home_directory_for_all_that_select_reads_and_writes(
    home, tiny_lm, few_draws
):
    shutil.copytree(tiny_lm, home / "lm")
    curate.fit("~/pool.jsonl", "~/lm", "~/fit", dim=2)
    chosen = curate.select(
        "~/pool.jsonl", "~/targets.jsonl", 3, encoder="~/fit", store="~/store", output="~/out"
    )
    assert {"fit", "store", "out"} <= {file.name for file in home.iterdir()}
    arguments = chosen.manifest.arguments
    assert [arguments[name] for name in ("pool", "encoder")] == [
        str(home / "pool.jsonl"), str(home / "fit"),
    ]  # fmt: skip
    chosen.save("~/saved")
    chosen.report("~/report.html")
    assert report("~/saved") == home / "saved" / "report.html"
    first = str(chosen.dataset["curate_row"][0])
    assert "rank 0" in str(explain("~/saved", first))
    assert curate.verify("~/saved").fine
    assert curate.embed("~/pool.jsonl", "~/store", encoder="~/fit").encoded == 0
    assert len(EmbeddingStore("~/store")) > 0
    AirRep.from_pretrained("~/fit").save_pretrained("~/copy")
    assert (home / "copy" / "config.json").exists()


def test_a_tilde_for_the_verbs_that_measure(home, tiny_lm):
    shutil.copytree(tiny_lm, home / "lm")
    curate.check("~/pool.jsonl", output="~/found.json")
    options = {"subsets": 3, "size": 2, "epochs": 1, "repeats": 1, "max_tokens": 16}
    curate.record("~/pool.jsonl", "~/targets.jsonl", "~/lm", "~/runs", **options)
    np.save(home / "scores.npy", np.random.default_rng(0).normal(size=(3, 24)))
    found = curate.lds("~/runs", "~/pool.jsonl", "~/targets.jsonl", scores="~/scores.npy", draws=0)
    assert -1 <= found.mean <= 1
    assert {"found.json", "runs"} <= {file.name for file in home.iterdir()}


def test_a_tilde_on_the_command_line_and_in_a_config(home, tiny_lm, capsys):
    (home / "select.yaml").write_text(
        "pool: ~/pool.jsonl\ntargets: ~/targets.jsonl\nk: 3\nscorer: tfidf\noutput: ~/out\n"
    )
    assert cli.main(["select", "--config", "~/select.yaml"]) == 0
    assert cli.main(["report", "~/out", "--output=~/page.html"]) == 0
    assert cli.main(["verify", "~/out"]) == 0
    assert (home / "page.html").exists()
    shutil.copytree(tiny_lm, home / "lm")
    config = {
        "model": "~/lm", "pool": "~/pool.jsonl", "targets": "~/targets.jsonl",
        "test": "~/pool.jsonl", "methods": {"random": {}}, "attribution": {"subsets": 3},
    }  # fmt: skip
    (home / "bench.yaml").write_text(yaml.safe_dump(config))
    capsys.readouterr()
    assert cli.main(["benchmark", "~/bench.yaml", "--output", "~/bench"]) == 1
    assert "is also pool row 0" in capsys.readouterr().err, "the rows were read"


@pytest.mark.parametrize(
    ("verb", "name", "call"),
    [
        ("select", "pool", {"pool": ""}),
        ("select", "targets", {"targets": ""}),
        ("select", "test", {"test": ""}),
        ("select", "output", {"output": ""}),
        ("select", "store", {"store": ""}),
        ("select", "encoder", {"encoder": "", "scorer": "airrep"}),
        ("select", "model", {"model": "", "scorer": "rds"}),
        ("harmful", "output", {"output": "", "model": "no model"}),
        ("check", "output", {"output": "", "k": None, "scorer": None}),
        ("embed", "store", {"store": "", "k": None, "scorer": None, "targets": None}),
    ],
)
def test_an_empty_path_is_one_clear_error(verb, name, call):
    arguments = {"pool": POOL, "targets": TARGETS, "k": 3, "scorer": "tfidf", **call}
    if verb == "harmful":
        arguments["scorer"] = "gradient"
    arguments = {key: value for key, value in arguments.items() if value is not None}
    with pytest.raises(ArgumentError, match=rf"^{name}: expected a path, found an empty text"):
        getattr(curate, verb)(**arguments)


@pytest.mark.parametrize(
    "command",
    [
        ["verify", ""], ["report", ""], ["explain", "", "0"], ["benchmark", "", "--output", "x"],
        ["train", "", "--output", "x"], ["select", "--config", ""],
        ["select", "--pool", "", "--targets", "~/targets.jsonl"],
        ["select", "--pool", "~/pool.jsonl", "--targets", "~/targets.jsonl", "--output", ""],
        ["select", "--pool", "~/pool.jsonl", "--targets", "~/targets.jsonl", "--output="],
        ["demo", "--output", ""], ["embed", "--pool", "~/pool.jsonl", "--store", ""],
    ],
)  # fmt: skip
def test_an_empty_path_on_the_command_line(command, capsys):
    try:
        status = cli.main(command)
    except SystemExit as ended:
        status = ended.code
    said = capsys.readouterr().err
    assert status in (1, 2)
    assert "expected a path, found an empty text" in said
    assert "Traceback" not in said


def test_a_home_that_is_not_there():
    for call in ({"pool": "~nobody-by-this-name/p.jsonl"}, {"output": "~nobody-by-this-name/d"}):
        with pytest.raises(CurateError, match=r"names a home directory that is not there"):
            curate.select(**{"pool": POOL, "targets": TARGETS, "k": 3, "scorer": "tfidf", **call})


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--pool", "~/targets.jsonl"], "pool"),
        (["--pool=~/targets.jsonl"], "pool"),
        (["--scorer", "bm25"], "scorer"),
        (["--columns.id", "id", "--columns.id=id"], "columns.id"),
        (["--overwrite", "--overwrite"], "overwrite"),
    ],
)
def test_an_option_that_is_given_twice_is_refused(home, capsys, more, named):
    command = ["select", "--pool", "~/pool.jsonl", "--targets", "~/targets.jsonl", "--k", "3"]
    command += ["--scorer", "tfidf", "--output", "~/out", *more]
    assert cli.main(command) == 2
    assert capsys.readouterr().err == (
        f"curate select: error: Parameter --{named} specified multiple times; curate select --help "
        "lists all\n"
    )
    assert not (home / "out").exists()


def test_options_that_may_be_given_together(home):
    (home / "k.yaml").write_text("k: 4\nscorer: bm25\n")
    (home / "rest.yaml").write_text("scorer: tfidf\npool: ~/pool.jsonl\n")
    command = ["select", "--config", "~/rest.yaml", "--config", "~/k.yaml", "--targets"]
    command += ["~/targets.jsonl", "--columns.prompt", "prompt", "--columns.completion"]
    assert cli.main([*command, "completion", "--overwrite", "--output", "~/out"]) == 0
    arguments = json.loads((home / "out" / "manifest.json").read_text())["arguments"]
    assert (arguments["k"], arguments["scorer"]) == (4, "bm25"), "the last config counts most"
