"""Examples in docstrings are run: their results are what they show.

`model` is a tiny language model there, `model_directory` its directory, and the working directory
is an empty one.
"""

from __future__ import annotations

import doctest
import inspect
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("airrep", "selection", "eval_harness", "curate")
MODULES = [
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in PACKAGES
    for file in sorted((ROOT / package).rglob("*.py"))
    if ">>> " in file.read_text("utf-8")
]


@pytest.fixture(scope="module")
def model(tiny_lm):
    from airrep.language_model.model import LanguageModel

    return LanguageModel.from_pretrained(tiny_lm, device="cpu")


@pytest.mark.parametrize("name", MODULES)
def test_examples_show_what_happens(name, model, tiny_lm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"model": model, "model_directory": tiny_lm}
    found = doctest.testmod(import_module(name), extraglobs=given)
    assert found.failed == 0, "doctest printed what differs"


def test_every_exported_function_and_every_measure_shows_what_it_gives():
    measures = [name for name in MODULES if name.startswith("eval_harness.measures.")]
    assert len(measures) == len(list((ROOT / "eval_harness" / "measures").glob("[a-z]*.py")))
    found = []
    for package in map(import_module, PACKAGES):
        found += [getattr(package, name) for name in package.__all__]
    for module in map(import_module, measures):
        found += [
            each for name, each in vars(module).items()
            if not name.startswith("_") and getattr(each, "__module__", "") == module.__name__
        ]  # fmt: skip
    missing = [f.__name__ for f in found if inspect.isfunction(f) and ">>> " not in f.__doc__]
    assert not missing
