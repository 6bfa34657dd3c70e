"""Examples in docstrings are run: their results are what they show.

`model` is a tiny language model there, `model_directory` its directory, and the working directory
is an empty one.
"""

from __future__ import annotations

import doctest
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
