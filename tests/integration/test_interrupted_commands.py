"""Long commands, interrupted in the middle: the next one computes the rest, and ends the same."""

from __future__ import annotations

import json
import os
import signal

import pyarrow.parquet as pq
import pytest

import curate
from airrep.disk import parts
from curate.demo_data import demo_pool, demo_targets

POOL, TARGETS = demo_pool(24), demo_targets("recipe_steps", 3)


@pytest.fixture
def rows(monkeypatch):
    """How many rows are computed where parts are kept, and after how many it is interrupted."""
    seen, until, now = [], [10**6], [0.0]
    put = parts.KeptRows.put

    def counted(self, members, values):
        now[0] += 20.0
        if sum(seen) >= until[0]:
            raise KeyboardInterrupt
        seen.append(len(members))
        put(self, members, values)

    monkeypatch.setattr(parts, "clock", lambda: now[0])
    monkeypatch.setattr(parts.KeptRows, "put", counted)
    return seen, until


def chosen(directory):
    return pq.read_table(directory / "selection.parquet")


def select(scorer, tiny_lm, output):
    curate.select(
        POOL, TARGETS, k=5, scorer=scorer, model=tiny_lm, output=output, tokens_per_batch=256,
        leakage="off", duplicates="off",
    )  # fmt: skip
    return chosen(output)


def harmful(scorer, tiny_lm, output):
    curate.harmful(
        POOL, TARGETS, k=5, scorer=scorer, model=tiny_lm, output=output, tokens_per_batch=256,
        leakage="off", duplicates="off",
    )  # fmt: skip
    return chosen(output)


def fit(_, tiny_lm, output):
    curate.fit(POOL, tiny_lm, output, dim=8, tokens_per_batch=256)
    return (output / "model.safetensors").read_bytes()


CASES = [
    (select, "rds"),
    *(
        pytest.param(*case, marks=pytest.mark.slow)
        for case in (
            (select, "gradient"),
            (select, ["rds", "gradient_cosine"]),
            (harmful, "gradient"),
            (fit, None),
        )
    ),
]


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize(("verb", "scorer"), CASES)
def test_the_next_one_computes_the_rest(verb, scorer, tiny_lm, tmp_path, rows):
    seen, until = rows
    whole = verb(scorer, tiny_lm, tmp_path / "whole")
    needed = sum(seen)
    seen.clear()
    until[0] = needed // 2
    with pytest.raises(KeyboardInterrupt):
        verb(scorer, tiny_lm, tmp_path / "cut")
    assert list((tmp_path / "cut").glob(".*.part")), "they are where the result will be"
    assert sum(seen) >= needed // 2
    until[0] = 10**6
    assert verb(scorer, tiny_lm, tmp_path / "cut") == whole
    assert sum(seen) == needed
    assert not list((tmp_path / "cut").glob(".*.part"))


def test_without_an_output_nothing_is_written(tiny_lm, tmp_path, monkeypatch, rows):
    monkeypatch.chdir(tmp_path)
    curate.select(POOL, TARGETS, k=5, scorer="rds", model=tiny_lm)
    assert rows[0] == []
    assert list(tmp_path.iterdir()) == []


# Every batch is a part. It is held, to be killed, when some are written.
HELD = """
    import sys, time
    import airrep.disk.parts, airrep.language_model.batching
    from curate.cli import main
    airrep.language_model.batching.TIGHT_TOKENS = 256
    airrep.disk.parts.SECONDS, airrep.disk.parts._SHARE = 0.0, float("inf")
    write, written = airrep.disk.parts._write, []
    def hold(*given):
        if len(written) == 3: time.sleep(600)
        written.append(write(*given))
    airrep.disk.parts._write = hold
    sys.exit(main(sys.argv[1:]))
"""
# The same command; it says how many rows went through the encoder.
COUNTED = """
    import sys
    import airrep.disk.parts, airrep.language_model.batching
    from curate.cli import main
    airrep.language_model.batching.TIGHT_TOKENS = 256
    put, rows = airrep.disk.parts.KeptRows.put, []
    def counted(self, members, values):
        rows.append(len(members))
        put(self, members, values)
    airrep.disk.parts.KeptRows.put = counted
    status = main(sys.argv[1:])
    print("ENCODED", sum(rows))
    sys.exit(status)
"""


@pytest.mark.slow
def test_sigkill_in_the_first_shard_loses_one_batch(program, tmp_path, wait_until):
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in POOL))
    command = ["embed", "--pool", "pool.jsonl", "--tokens_per_batch", "256", "--store"]
    undisturbed = program(COUNTED, *command, "whole", folder=tmp_path)
    assert undisturbed.wait() == 0, undisturbed.stderr
    needed = int(undisturbed.stdout.split("ENCODED")[1])

    killed = program(HELD, *command, "cut", folder=tmp_path)
    store = tmp_path / "cut"
    wait_until(lambda: len(list(store.glob(".encoding.*.part"))) == 3, "three parts", of=killed)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    kept = [parts._read(file) for file in store.glob(".encoding.*.part")]
    assert not list(store.glob("shard-*")), "killed in the first shard"

    resumed = program(COUNTED, *command, "cut", folder=tmp_path)
    assert resumed.wait() == 0, resumed.stderr
    assert int(resumed.stdout.split("ENCODED")[1]) == needed - sum(
        len(p["values"]) for _, p in kept
    )
    for name in ("shard-00000.npy", "shard-00000.parquet"):
        assert (store / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list(store.glob(".*.part"))
