"""What `import airrep` costs and offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import airrep

HEAVY = ("torch", "transformers", "accelerate", "datasets")


def modules_after(statement: str) -> set[str]:
    """Top-level modules in memory after a statement, in a fresh interpreter."""
    program = f"import sys\n{statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


def test_importing_the_package_does_not_import_torch():
    assert modules_after("import airrep").isdisjoint(HEAVY)


def test_neither_do_records_errors_templates_and_stores():
    light = "from airrep import CurateError, EmbeddingStore, Example, TextTemplate, normalize"
    assert modules_after(light).isdisjoint(HEAVY)


@pytest.mark.slow
def test_the_encoder_does_import_torch():
    """So the tests above can fail."""
    assert "torch" in modules_after("from airrep import AirRep")


def test_every_export_resolves():
    for name in airrep.__all__:
        assert getattr(airrep, name) is not None


def test_names_are_listed_for_completion():
    assert dir(airrep) == airrep.__all__ == sorted(airrep.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'airrep' has no attribute 'Airrep'"):
        _ = airrep.Airrep


def test_the_version_is_the_distributions():
    from importlib.metadata import version

    assert airrep.__version__ == version("airrep-curate")
