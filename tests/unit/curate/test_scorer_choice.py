"""Names of scorers: what each needs, and what the manifest says of it."""

import json
import subprocess
import sys
from typing import get_args

import pytest

import curate
from airrep.errors import ArgumentError, MissingInputError
from airrep.language_model import LanguageModel
from curate import cli
from curate.demo_data import demo_pool, demo_targets
from curate.scorer_choice import MODEL_SCORERS, ScorerName, make_scorer
from selection.scorers import GradientScorer, RdsScorer

POOL, TARGETS = demo_pool(30), demo_targets("email_reply", 2)


@pytest.fixture(scope="module")
def model(tiny_lm):
    return LanguageModel.from_pretrained(tiny_lm)


@pytest.mark.parametrize("name", get_args(ScorerName))
def test_every_name_selects(name, model):
    given = model if name in MODEL_SCORERS else None
    chosen = curate.select(POOL, TARGETS, 3, scorer=name, model=given)
    assert len(chosen) == 3
    assert chosen.manifest.arguments["scorer"] == name


def test_names_stand_for_these_settings(model):
    assert isinstance(make_scorer("rds", model=model), RdsScorer)
    fisher = make_scorer("gradient", model=model, seed=3)
    cosine = make_scorer("gradient_cosine", model=model)
    assert isinstance(fisher, GradientScorer)
    assert (fisher.preconditioner, fisher.normalise, fisher.seed) == ("fisher", "both", 3)
    assert (cosine.preconditioner, cosine.normalise) == ("none", "both")
    assert (fisher.name, cosine.name) == ("gradient", "gradient_cosine")
    assert fisher.model is model


@pytest.mark.parametrize("name", MODEL_SCORERS)
def test_a_missing_model_is_said_before_anything_is_read(name):
    with pytest.raises(ArgumentError, match=f"'{name}' needs the language model that will be fine"):
        curate.select("no-such.jsonl", "none.jsonl", 3, scorer=name)


@pytest.mark.parametrize("name", ["airrep", "tfidf"])
def test_a_model_that_would_not_be_looked_at_is_refused(name, tiny_lm):
    with pytest.raises(ArgumentError, match=r"does not look at the language model.*choose one of"):
        curate.select(POOL, TARGETS, 3, scorer=name, model=tiny_lm)


def test_unknown_names_are_refused():
    with pytest.raises(ArgumentError, match="scorer 'nope' is unknown; choose from airrep, tfidf"):
        curate.select(POOL, TARGETS, 3, scorer="nope")


def test_a_model_that_is_not_there():
    with pytest.raises(MissingInputError, match=r"'\./nope' is not a directory"):
        curate.select(POOL, TARGETS, 3, scorer="rds", model="./nope")


def test_a_manifest_repeats_a_run_with_a_model(tmp_path, monkeypatch, tiny_lm, model, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in POOL))
    command = ["select", "--pool", "pool.jsonl", "--targets", "pool.jsonl", "--k", "4",
               "--scorer", "gradient_cosine", "--progress", "false"]  # fmt: skip
    assert cli.main(command) == 1
    assert "model=... (--model ...)" in capsys.readouterr().err
    assert cli.main([*command, "--model", str(tiny_lm), "--output", "out"]) == 0
    assert f"30 rows with {tiny_lm}" in capsys.readouterr().out
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["arguments"]["model"] == str(tiny_lm)
    assert manifest["encoder"]["fingerprint"] == model.fingerprint
    assert manifest["encoder"]["dtype"] in ("bfloat16", "float32")
    assert cli.main(["select", "--config", "out/manifest.json"]) == 0
    assert capsys.readouterr().out.endswith("same rows as in the manifest\n")


def test_importing_the_names_needs_no_torch():
    code = "import sys, curate.scorer_choice; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_called_like_a_scorer_is_no_scorer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tfidf").mkdir()
    chosen = curate.select(POOL, TARGETS, 3, scorer="tfidf")
    assert chosen.manifest.arguments["scorer"] == "tfidf"
