"""`fit`: an encoder of a model's gradients, from rows alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

import curate
from airrep import AirRep, normalize
from airrep.errors import ArgumentError, MissingInputError, RecordError
from airrep.training import untrained as untrained_module
from airrep.training.config import TrainConfig
from airrep.training.directions import fit_directions
from airrep.training.loop import start_whitened
from airrep.training.starting_point import starting_point
from curate import cli, demo_pool, demo_targets

ROWS = demo_pool(40)
pytestmark = pytest.mark.usefixtures("few_draws")


@pytest.fixture(scope="module")
def fitted(few_draws, tiny_lm, tmp_path_factory):
    """What `fit` returned, of 40 rows in 12 numbers each."""
    return curate.fit(ROWS, tiny_lm, tmp_path_factory.mktemp("fit") / "encoder", dim=12)


@pytest.mark.slow
def test_it_is_what_training_would_start_from(fitted, tiny_lm):
    examples = [normalize(row, index=i) for i, row in enumerate(ROWS)]
    expected = starting_point(tiny_lm, token_pooling="gradient")
    fit_directions(expected, examples)
    features = expected.features([expected.template.render(e) for e in examples])
    start_whitened(expected, features, TrainConfig(dim=12, damping=30.0, scale=5.0))
    found = AirRep.from_pretrained(fitted.directory, dtype="float32")
    assert (fitted.rows, fitted.dim, found.dim, found.attention_scale) == (40, 12, 12, 5.0)
    exact, narrow = expected.encode(examples), found.encode(examples)
    # saved in float16
    np.testing.assert_allclose(narrow, exact, rtol=0, atol=0.02 * np.abs(exact).max())
    assert 0.5 < np.linalg.norm(exact, axis=1).mean() < 1.5


@pytest.mark.slow
def test_a_selection_with_it(fitted, tmp_path):
    targets = demo_targets("email_reply", 3)
    chosen = curate.select(ROWS, targets, 5, encoder=fitted.directory, store=tmp_path / "store")
    assert len(chosen.dataset) == 5
    again = curate.select(ROWS, targets, 5, encoder=fitted.directory, store=tmp_path / "store")
    assert again.dataset["prompt"] == chosen.dataset["prompt"]


@pytest.mark.slow
def test_the_command(tiny_lm, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [json.dumps(row) for row in ROWS[:12]]
    (tmp_path / "pool.jsonl").write_text("\n".join([*lines, '{"prompt": "why?"}']) + "\n")
    command = ["fit", "--pool", "pool.jsonl", "--model", str(tiny_lm), "--output", "encoder"]
    assert cli.main(command) == 1
    assert "row 12" in capsys.readouterr().err
    assert not list((tmp_path / "encoder").iterdir())
    assert cli.main([*command, "--on_bad_row", "skip"]) == 0
    said = capsys.readouterr().out
    assert "in 11 numbers a row, fitted to a pool of 12 rows" in said
    assert "skipped 1 row, the first: " in said
    assert said.endswith("wrote   encoder; select with it by --encoder\n")
    assert AirRep.from_pretrained(tmp_path / "encoder").dim == 11


@pytest.mark.slow
def test_of_many_rows_some_are_looked_at(tiny_lm, tmp_path, monkeypatch):
    monkeypatch.setattr(untrained_module, "_ROWS", 10)
    some = curate.fit(ROWS, tiny_lm, tmp_path / "some", seed=3)
    same = curate.fit(ROWS, tiny_lm, tmp_path / "same", seed=3)
    other = curate.fit(ROWS, tiny_lm, tmp_path / "other", seed=4)
    assert (some.rows, some.dim) == (40, 9)
    prints = [AirRep.from_pretrained(f.directory).fingerprint for f in (some, same, other)]
    assert prints[0] == prints[1] != prints[2]


def test_what_cannot_be_fitted(tiny_lm, tmp_path):
    with pytest.raises(ArgumentError, match=r"40 rows.*1 to 39 dimensions, found dim=40"):
        curate.fit(ROWS, tiny_lm, tmp_path / "a", dim=40)
    with pytest.raises(ArgumentError, match="1 row: expected 2 or more"):
        curate.fit(ROWS[:1], tiny_lm, tmp_path / "a")
    with pytest.raises(RecordError):
        curate.fit([{"prompt": "why?"}] * 3, tiny_lm, tmp_path / "a")
    with pytest.raises(MissingInputError):
        curate.fit(ROWS, tmp_path / "nowhere", tmp_path / "a")
    assert not list((tmp_path / "a").iterdir())
