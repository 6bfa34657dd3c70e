"""The benchmark of what scoring costs: that it runs, and what it makes of its measurements."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "benchmarks" / "attribution_cost.py"


@pytest.fixture(scope="module")
def cost():
    """The script as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPT.parent))
        spec = importlib.util.spec_from_file_location("attribution_cost", SCRIPT)
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "attribution_cost", module)  # dataclasses look for it
        spec.loader.exec_module(module)
        yield module


def size(cost, parameters, slow, fast, **gradients):
    """A language model whose gradients take `slow` seconds a row, and all encoders `fast`."""

    def passes(seconds):
        return [{"once": 1.0, "per_row": seconds, "rows": 16}] * 3

    found = {kind: {"passes": passes(fast), "bytes": 768} for kind in (cost.BUILT_IN, cost.OWN)}
    found[cost.GRADIENTS] = {"passes": passes(slow), "bytes": 4096, **gradients}
    return cost.Size(f"{parameters}", parameters, 60.0, found)


def test_where_a_ratio_passes_a_value(cost):
    """Ratios of 4, 40 and 400 at 1e6, 1e7 and 1e8 parameters: 80 at 10^7.301."""
    sizes = [size(cost, 10**n, 4 * 10 ** (n - 6), 1.0) for n in (6, 7, 8)]
    assert cost.crossing(sizes, cost.OWN, 80) == "at about 20,000,000 parameters (interpolated)"
    assert cost.crossing(sizes, cost.OWN, 4) == "already at 1,000,000 parameters (4)"
    beyond = cost.crossing(sizes, cost.OWN, 401)
    assert beyond == "beyond the largest measured (400 at 100,000,000 parameters), if ever"


def test_after_how_many_rows_training_is_paid_for(cost):
    """Gradients: 1 s and 2 s at once, 0.3 s and 0.2 s a row; the encoder: 1 s, 0.1 s a row."""
    found = size(cost, 10**6, 0.3, 0.1, whiten_once=2.0, whiten_per_row=0.2)
    assert found.seconds(cost.GRADIENTS) == pytest.approx([0.5] * 3)
    assert found.once(cost.GRADIENTS) == 3.0
    assert cost.break_even(found, cost.OWN, 402.0) == "1,000"  # 402 + 1 - 3 = 0.4 · 1,000
    assert cost.break_even(found, cost.OWN, 0.5) == "0"
    assert cost.break_even(size(cost, 10**6, 0.1, 0.1), cost.OWN, 1.0) == "never"


def test_rows_come_in_groups_of_like_length_from_all_lengths(cost):
    rows = [cost.Row(None, tokens) for tokens in range(1000)]
    for count, places in ((1, 1), (16, 1), (40, 2), (256, 16)):
        lengths = [row.tokens for row in cost.groups(rows, count)]
        assert len(set(lengths)) == len(lengths) == 16 * places
        assert abs(sum(lengths) / len(lengths) - 500) < 10
    assert len(cost.groups(rows[:5], 256)) >= 5


@pytest.mark.slow
def test_it_runs_on_made_up_rows(tiny_lm, tmp_path):
    subprocess.run(
        [sys.executable, str(SCRIPT), "--model", str(tiny_lm), "--data", str(tmp_path),
         "--sizes", "1M", "--rows", "16", "--repeats", "2", "--threads", "1",
         "--training-seconds", "10", "--output", str(tmp_path / "out")],
        check=True, timeout=500, env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
    )  # fmt: skip
    report = json.loads((tmp_path / "out" / "attribution_cost.json").read_text())
    speed, ratios, sizes, paid = (table["rows"] for table in report["tables"])
    assert [row["language model"] for row in ratios] == [Path(tiny_lm).name, "1M"]
    assert len(speed) == 6
    assert all(min(row["rows/s"]["values"]) > 0 for row in speed)
    for row in ratios:
        assert len(row["model's own encoder"]["values"]) == 2
    assert sizes[1] == {
        "language model": "1M", "built-in encoder": "768", "model's own encoder": "768",
        "gradients": f"{2 * 7 * 32 * 32 * 4:,}", "gradients / own": 2 * 7 * 32 * 32 * 4 / 768,
    }  # fmt: skip
    assert len(paid) == 2
    assert (tmp_path / "out" / "attribution_cost.md").read_text().count("| 1M") == 6
