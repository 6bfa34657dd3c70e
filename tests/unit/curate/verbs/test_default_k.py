"""Without k: as many rows as there are, if they are fewer than the default."""

from __future__ import annotations

import json

import numpy as np
import pytest

import curate
from airrep.errors import ArgumentError
from curate import cli
from curate.demo_data import demo_pool, demo_targets
from selection.scores import DenseScores

POOL, TARGETS = demo_pool(40), demo_targets("email_reply", 3)
SAID = "all that can be chosen: k was not given, and would be 1,000"


@pytest.mark.parametrize(
    ("pool", "options", "rows"),
    [
        (POOL, {}, 40),
        ([*POOL, *POOL[:9]], {}, 40),
        ([*POOL, *POOL[:9]], {"duplicates": "best"}, 40),
        (POOL, {"constraints": {"exclude": ["0", "7"]}}, 38),
        (POOL, {"constraints": {"max_per_source": {"*": 1}}, "columns": {"source": "task"}}, None),
        (POOL, {"constraints": {"max_per_source": {"*": 0.5}}, "columns": {"source": "even"}}, 20),
    ],
)
def test_without_k_all_that_there_is_is_chosen_and_the_summary_says_so(pool, options, rows):
    pool = [{**row, "even": "few" if i < 10 else "many"} for i, row in enumerate(pool)]
    if "columns" in options:
        options = {**options, "columns": {**options["columns"], "prompt": "prompt",
                                          "completion": "completion"},
                   "target_columns": {"prompt": "prompt", "completion": "completion"}}  # fmt: skip
    chosen = curate.select(pool, TARGETS, scorer="tfidf", **options)
    assert len(chosen) == (len({row["task"] for row in POOL}) if rows is None else rows)
    assert SAID in chosen.summary()
    with pytest.raises(ArgumentError, match="k = 1000"):
        curate.select(pool, TARGETS, 1000, scorer="tfidf", **options)


def test_a_k_that_was_given_or_is_enough_is_not_spoken_of():
    assert "k was not given" not in curate.select(POOL, TARGETS, 40, scorer="tfidf").summary()
    many = [{"text": f"row {i} of many {i * i}"} for i in range(1010)]
    chosen = curate.select(many, TARGETS, scorer="random", duplicates="off")
    assert len(chosen) == 1000
    assert "k was not given" not in chosen.summary()


def test_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, rows in (("pool", POOL), ("targets", TARGETS)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["select", "--pool", "pool.jsonl", "--targets", "targets.jsonl", "--scorer", "tfidf"]
    assert cli.main([*command, "--output", "out"]) == 0
    assert SAID in capsys.readouterr().out
    assert cli.main(["select", "--config", "out/manifest.json"]) == 0
    assert "same rows as in the manifest" in capsys.readouterr().out
    assert cli.main([*command, "--k", "41"]) == 1
    assert "k = 41 is larger than the pool of 40" in capsys.readouterr().err


class _Signed:
    """A scorer by which every second row hurts."""

    name, signed = "every second", True

    def score(self, targets, pool):
        signs = np.where(np.arange(len(pool)) % 2, -1.0, 1.0)
        return DenseScores(np.tile(signs, (len(targets), 1)), method=self.name)


def test_what_hurts_is_looked_for_in_a_small_pool_too():
    assert len(curate.harmful(POOL, TARGETS, scorer=_Signed())) == 20
    with pytest.raises(ArgumentError, match="k = 100 is larger"):
        curate.harmful(POOL, TARGETS, 100, scorer=_Signed())
