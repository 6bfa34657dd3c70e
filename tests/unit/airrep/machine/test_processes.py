"""Several processes give what one gives."""

from __future__ import annotations

import os
import subprocess
import sys
from textwrap import dedent
from types import SimpleNamespace

import numpy as np
import pytest

from airrep import EmbeddingStore, Example
from airrep.errors import ArgumentError
from airrep.machine.processes import processes, rank, wait_for_everyone

WORKER = """
    import atexit
    import sys
    from pathlib import Path
    import numpy as np
    import torch.distributed
    from airrep import AirRep, EmbeddingStore, Example, store
    from airrep.shards import files as shards
    from airrep.errors import EmbeddingError
    from airrep.machine.processes import processes, rank

    folder = Path(sys.argv[1])
    assert processes() == 2
    atexit.register(  # what is registered first comes last
        lambda: (folder / f"joined-{rank()}").write_text(str(torch.distributed.is_initialized()))
    )
    store._SHARD_ROWS = 4
    if rank() == 1:  # process 0 alone writes; a call of these fails here
        store.write_json = shards.atomic_file = None
    encoder = AirRep.from_pretrained(folder / "tiny", device="cpu", dtype="float32")
    texts = (folder / "texts").read_text().split("|")
    examples = [Example(str(i), "", text or "?") for i, text in enumerate(texts)]
    embeddings = EmbeddingStore(folder / "store")
    first = embeddings.embed(examples[:10], encoder)  # and then more, as a pool grows
    everything = embeddings.embed(examples, encoder)
    np.savez(
        folder / f"{rank()}.npz", encoded=encoder.encode(texts, tokens_per_batch=200),
        few=encoder.encode(texts[:1]), first=first[:], everything=everything[:],
        counts=[everything.reused, everything.encoded],
    )
"""


@pytest.mark.parametrize("variables", [{}, {"RANK": "3"}, {"WORLD_SIZE": "1", "RANK": "0"}])
def test_without_a_launcher_there_is_one_process(monkeypatch, variables):
    for name in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (processes(), rank()) == (1, 0)
    wait_for_everyone()  # returns


def test_a_launcher_says_how_many_there_are_and_which_this_is(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "2")
    assert (processes(), rank()) == (4, 2)


def test_a_share_is_never_returned_as_the_whole(monkeypatch, tiny):
    """As when the caller set accelerate up for one process, which joins no others."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("accelerate.PartialState", lambda cpu: SimpleNamespace(num_processes=1))
    for step in (lambda: tiny.encode(["x", "y"]), wait_for_everyone):
        with pytest.raises(ArgumentError, match="started 2 processes, but accelerate was set up"):
            step()


@pytest.mark.slow
def test_two_processes_give_the_bits_of_one(tmp_path, tiny, tiny_directory, texts):
    """As torchrun starts them, for `encode` and for a store that both work on."""
    (tmp_path / "worker.py").write_text(dedent(WORKER))
    (tmp_path / "texts").write_text("|".join(texts))
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
            tmp_path / "worker.py", tmp_path,
        ],
        capture_output=True, text=True, timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[:3000]
    examples = [Example(str(i), "", text or "?") for i, text in enumerate(texts)]
    expected = tiny.encode(examples)
    for number in range(2):
        found = np.load(tmp_path / f"{number}.npz")
        assert np.array_equal(found["encoded"], tiny.encode(texts))
        assert np.array_equal(found["few"], tiny.encode(texts[:1]))  # fewer batches than processes
        assert np.array_equal(found["first"], expected[:10])
        assert np.array_equal(found["everything"], expected)
        distinct, known = len(set(texts)), len(set(texts[:10]))
        assert found["counts"].tolist() == [len(texts) - distinct + known, distinct - known]
        assert (tmp_path / f"joined-{number}").read_text() == "False", "left before the end"
    alone = EmbeddingStore(tmp_path / "store").embed(examples, tiny)
    assert alone.encoded == 0
    assert np.array_equal(alone[:], expected)
