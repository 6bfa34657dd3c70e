"""The package's names: functions stay functions though modules are called the same."""

import subprocess
import sys

import pytest

CODE = """
import sys
import eval_harness
heavy = {"torch", "scipy", "transformers", "sklearn", "datasets", "trl"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
for name in ("lds", "accuracy"):
    assert callable(getattr(eval_harness, name)), name
import eval_harness.lds, eval_harness.accuracy, eval_harness.subset_runs
from eval_harness.lds import LdsResult
from eval_harness.accuracy import Accuracy
for name in eval_harness.__all__:
    assert callable(getattr(eval_harness, name)), name
losses = [[3.0, 1.0], [2.0, 2.0], [1.0, 3.0]]
found = eval_harness.lds([[1, 2, 3], [3, 2, 1]], [[0], [1], [2]], losses, pooling="attention")
assert isinstance(found, LdsResult) and found.mean == 1.0, found
"""


@pytest.mark.slow
def test_the_functions_are_not_shadowed_by_their_modules():
    subprocess.run([sys.executable, "-c", CODE], check=True)
