"""The package's names load on first use, and no module stands in the place of a function."""

import subprocess
import sys

import pytest

CODE = """
import sys
import eval_harness
heavy = {"torch", "scipy", "transformers", "sklearn", "datasets", "trl"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
for name in ("lds_of_scores", "accuracy"):
    assert callable(getattr(eval_harness, name)), name
import eval_harness.measures.datamodeling, eval_harness.measures.task_accuracy
import eval_harness.runs.subset_runs
from eval_harness.measures.datamodeling import LdsResult
from eval_harness.measures.task_accuracy import Accuracy
for name in eval_harness.__all__:
    assert callable(getattr(eval_harness, name)), name
losses = [[3.0, 1.0], [2.0, 2.0], [1.0, 3.0]]
found = eval_harness.lds_of_scores([[1, 2, 3], [3, 2, 1]], [[0], [1], [2]], losses)
assert isinstance(found, LdsResult) and found.mean == 1.0, found
"""


@pytest.mark.slow
def test_the_functions_are_not_shadowed_by_their_modules():
    subprocess.run([sys.executable, "-c", CODE], check=True)
