"""A run that is killed while encoding goes on where it stopped, and ends with the same rows."""

import json
import os
import signal

import pyarrow.parquet as pq
import pytest

from curate.demo_data import demo_pool, demo_targets

# The same command line, with shards small enough that one is done long before the other.
COMMAND = """
    import sys, airrep.store
    airrep.store._SHARD_ROWS = 8
    from curate.cli import main
    sys.exit(main(sys.argv[1:]))
"""
# It stops in the middle, when its fourth shard is written and does not count yet.
HELD = """
    import sys, time, airrep.store
    airrep.store._SHARD_ROWS = 8
    add, added = airrep.store.EmbeddingStore._add, []
    def hold(*given):
        if len(added) == 3: time.sleep(600)
        added.append(add(*given))
    airrep.store.EmbeddingStore._add = hold
    from curate.cli import main
    sys.exit(main(sys.argv[1:]))
"""
ROWS = 90
ARGUMENTS = [
    "select", "--pool", "pool.jsonl", "--targets", "targets.jsonl", "--k", "25", "--progress",
    "false", "--leakage", "off", "--duplicates", "off", "--output",
]  # fmt: skip


def _write(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.slow
@pytest.mark.isa
def test_sigkill_while_encoding_changes_nothing_but_time(program, tmp_path, wait_until):
    _write(tmp_path / "pool.jsonl", demo_pool(ROWS))
    _write(tmp_path / "targets.jsonl", demo_targets("recipe_steps", 4))
    undisturbed = program(COMMAND, *ARGUMENTS, "whole", folder=tmp_path)
    assert undisturbed.wait() == 0, undisturbed.stderr

    killed = program(HELD, *ARGUMENTS, "resumed", folder=tmp_path)
    embeddings = tmp_path / "resumed" / "embeddings"

    def shards():
        return len(list(embeddings.glob("shard-*.parquet"))) == 4

    wait_until(shards, "the fourth shard", of=killed)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    done = sum(s["rows"] for s in json.loads((embeddings / "manifest.json").read_text())["shards"])
    assert 0 < done < ROWS, "killed in the middle of encoding"
    assert not (tmp_path / "resumed" / "selection.parquet").exists()

    resumed = program(COMMAND, *ARGUMENTS, "resumed", folder=tmp_path)
    assert resumed.wait() == 0, resumed.stderr
    assert f"{ROWS - done:,} rows with" in resumed.stdout, "only what was missing is encoded"
    whole, again = (pq.read_table(tmp_path / d / "selection.parquet") for d in ("whole", "resumed"))
    assert whole.equals(again)
    leftovers = [f for f in (tmp_path / "resumed").iterdir() if f.suffix == ".tmp"]
    assert leftovers == [], "no half-written result is left behind"
