"""What the packages export, and what importing them brings along."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import selection

HEAVY = ("torch", "transformers", "datasets", "trl", "accelerate")
PACKAGES = ("selection", "selection.selectors", "selection.scorers")


def _loaded_by(*modules):
    """Which heavy packages are loaded after importing the modules in a process of their own."""
    code = f"import sys, {', '.join(modules)}; print(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )
    return done.stdout.split()


def test_the_numeric_core_and_the_scorers_names_load_without_torch():
    assert not _loaded_by(
        "selection",
        "selection.selectors",
        "selection.scores",
        "selection.group",
        "selection.candidates",
        "selection.scorers",
    )


def test_so_do_the_exported_names():
    names = "from selection import GroupInfluence, Scores, Selection, make_selector"
    code = f"import sys; {names}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


@pytest.mark.slow
def test_the_encoder_brings_torch():
    """So the tests above would see it."""
    assert {"torch", "transformers"} <= set(_loaded_by("airrep.encoder"))


@pytest.mark.parametrize("name", PACKAGES)
def test_every_exported_name_is_there_once(name):
    package = importlib.import_module(name)
    for exported in package.__all__:
        assert getattr(package, exported) is not None
    assert len(set(package.__all__)) == len(package.__all__)


@pytest.mark.parametrize("name", ["selection", "selection.scorers"])
def test_what_loads_on_first_use_is_what_is_exported(name):
    package = importlib.import_module(name)
    assert dir(package) == package.__all__
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'Nothing'"):
        _ = package.Nothing


def test_the_selectors_package_exports_every_class_it_imports():
    package = importlib.import_module("selection.selectors")
    public = {
        name
        for name, value in vars(package).items()
        if getattr(value, "__module__", "").startswith("selection") and not name.startswith("_")
    }
    assert public <= set(package.__all__)


def test_every_module_of_the_package_can_be_imported():
    root = Path(selection.__file__).parent
    for file in root.rglob("*.py"):
        module = ".".join(file.relative_to(root.parent).with_suffix("").parts)
        importlib.import_module(module.removesuffix(".__init__"))
