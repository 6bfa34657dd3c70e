"""Engines without a cluster: who may ask for which, and two processes that give what one gives."""

from __future__ import annotations

import os
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

import curate
from airrep import EmbeddingStore, Example
from airrep.engines import Launched
from airrep.errors import ArgumentError
from curate import cli
from selection import scores as scores_module
from selection.candidates import top_rows
from selection.certified import certified_greedy
from selection.scorers import EmbeddingScorer
from selection.selectors import GroupGreedy

ROWS = [{"text": f"row {i}"} for i in range(9)]
BLOCK = 8  # so that a small pool is many blocks
OPTIONS = {"k": 15, "leakage": "off", "duplicates": "off"}

WORKER = """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    import numpy as np
    from test_engines import OPTIONS, everything, pool_and_targets
    import curate
    from airrep import AirRep
    from airrep.machine.processes import rank

    folder = Path(sys.argv[1])
    pool, targets = pool_and_targets()
    chosen = curate.select(
        pool, targets, engine="accelerate", output=folder / "shared", **OPTIONS
    )
    found = everything(AirRep.default(), folder / "shared" / "embeddings")
    np.savez(folder / f"{rank()}.npz", indices=chosen.selection.indices, **found)
"""


def pool_and_targets():
    return curate.demo_pool(48), curate.demo_targets("recipe_steps", 3)


def everything(encoder, store):
    """What is made of all scores, block by block, with whoever the launcher started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores_module, "BLOCK", BLOCK)
        pool, targets = (
            [Example(str(i), row["prompt"], row["completion"]) for i, row in enumerate(rows)]
            for rows in pool_and_targets()
        )
        scorer = EmbeddingScorer(encoder, EmbeddingStore(store), engine=Launched())
        scores = scorer.score(targets, pool)
        found = certified_greedy(GroupGreedy(), scores, 15, memory=1 << 28)
        rows, values = top_rows(scores, 12)
        return {
            "picks": found.indices,
            "gains": found.gains,
            "candidates": found.certificate.candidates,
            "rows": rows,
            "values": values,
            "few": top_rows(scores.columns(np.arange(4)), 2)[0],
        }


@pytest.mark.slow
@pytest.mark.isa
def test_two_processes_choose_what_one_chooses(together, tmp_path, encoder):
    """As torchrun starts them: each encodes a share, and looks at a share of the blocks."""
    together(WORKER, tmp_path, os.path.dirname(__file__))  # noqa: PTH120
    pool, targets = pool_and_targets()
    alone = curate.select(pool, targets, output=tmp_path / "alone", **OPTIONS)
    expected = everything(encoder, tmp_path / "alone" / "embeddings")
    for number in range(2):
        found = np.load(tmp_path / f"{number}.npz")
        assert np.array_equal(found["indices"], alone.selection.indices)
        for name, value in expected.items():
            assert np.array_equal(found[name], value), name
    one, two = (pq.read_table(tmp_path / d / "selection.parquet") for d in ("alone", "shared"))
    assert one.equals(two)


def test_accelerate_without_other_processes_is_refused(tmp_path, capsys):
    for verb in (
        lambda: curate.select(ROWS, ROWS[:2], 3, engine="accelerate"),
        lambda: curate.embed(ROWS, tmp_path / "store", engine="accelerate"),
    ):
        with pytest.raises(ArgumentError, match="there is only this one"):
            verb()
    assert not (tmp_path / "store").exists()
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n')
    file = str(tmp_path / "rows.jsonl")
    options = ["--pool", file, "--targets", file, "--k", "1", "--engine", "accelerate"]
    assert cli.main(["select", *options]) == 1
    assert "there is only this one" in capsys.readouterr().err


def test_ray_under_a_launcher_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ArgumentError, match="a launcher started 2 processes"):
        curate.embed(ROWS, tmp_path / "store", engine="ray")


def test_ray_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ArgumentError, match=r"pip install 'airrep-curate\[ray\]'"):
        curate.embed(ROWS, tmp_path / "store", engine="ray")


def test_an_unknown_engine_is_refused():
    with pytest.raises(ArgumentError, match="unknown; choose from local, accelerate, ray"):
        curate.select(ROWS, ROWS[:2], 3, engine="dask")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scorer": "tfidf", "store": "store"}, "for the scorer airrep, and this one has none"),
        ({"scorer": ["tfidf", "bm25"], "store": "store"}, "and this one has none"),
        ({"encoder": object(), "store": "store"}, "needs an AirRep encoder, found object"),
        ({}, "name a directory that all machines see"),
    ],
)
def test_what_ray_has_no_use_for_is_refused_before_anything_is_read(options, message):
    pytest.importorskip("ray")
    with pytest.raises(ArgumentError, match=message):
        curate.select("nowhere.jsonl", "nowhere.jsonl", 3, engine="ray", **options)


def test_a_cluster_that_does_not_answer_is_named(program, tmp_path):
    """In a process of its own, which Ray cannot leave anything in."""
    pytest.importorskip("ray")
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n')
    done = program(
        "import sys; from curate.cli import main; sys.exit(main(sys.argv[1:]))",
        "embed", "--pool", tmp_path / "rows.jsonl", "--store", tmp_path / "store",
        "--engine", "ray", RAY_ADDRESS="127.0.0.1:9",
    )  # fmt: skip
    assert done.wait() == 1, done.stderr[-3000:]
    assert "the cluster does not answer" in done.stderr
    assert "RAY_ADDRESS (127.0.0.1:9)" in done.stderr
    assert "Traceback" not in done.stderr
