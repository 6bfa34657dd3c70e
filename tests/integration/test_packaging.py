"""What is installed, what is exported, and what an import costs."""

import subprocess
import sys
import sysconfig
import tomllib
from importlib import import_module
from importlib.metadata import distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from setuptools import find_packages

ROOT = Path(__file__).parents[2]
PACKAGES = ["airrep", "selection", "selection.scorers", "selection.selectors", "eval_harness",
            "curate", "curate.demo_data"]  # fmt: skip


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_packages_that_are_found_are_the_folders_with_modules():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    listed = find_packages(ROOT, include=settings["packages"]["find"]["include"])
    roots = {package.split(".")[0] for package in listed}
    found = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for root in roots
        for file in (ROOT / root).rglob("*.py")
    }
    assert sorted(listed) == sorted(found)
    assert roots == {"airrep", "selection", "eval_harness", "curate"}


@pytest.mark.parametrize("root", ["airrep", "selection", "eval_harness", "curate"])
def test_no_folder_holds_more_than_fifteen_modules(root):
    """So that what belongs together is found together."""
    for folder in {file.parent for file in (ROOT / root).rglob("*.py")}:
        modules = [file for file in folder.glob("*.py") if file.name != "__init__.py"]
        assert len(modules) <= 15, folder


@pytest.mark.parametrize("package", PACKAGES)
def test_exports_resolve_and_unknown_names_do_not(package):
    module = import_module(package)
    assert len(set(module.__all__)) == len(module.__all__) > 0
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError):
        module.no_such_name  # noqa: B018


def test_importing_the_library_brings_neither_torch_nor_datasets():
    heavy = "{'torch', 'transformers', 'datasets', 'pandas', 'sklearn', 'trl', 'msgspec'}"
    roots = "import airrep, selection, eval_harness, curate"
    assert _run(f"import sys; {roots}; print(sorted({heavy} & set(sys.modules)))") == "[]"


@pytest.mark.slow
def test_the_check_above_can_fail():
    assert _run("import sys, airrep.encoder; print('torch' in sys.modules)") == "True"


def test_scoring_by_words_needs_no_torch():
    code = (
        "import sys, curate\n"
        "rows = [{'text': f'row {i}'} for i in range(9)]\n"
        "curate.select(rows, rows[:2], 3, scorer='tfidf')\n"
        "print('torch' in sys.modules)"
    )
    assert _run(code) == "False"


def test_the_version_is_stated_once():
    import curate

    assert curate.__version__ == version("airrep-curate")


def test_torch_is_pinned_for_a_reproducible_install():
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text().splitlines()


def test_every_runtime_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    names = {name.split(">")[0].split("[")[0].lower() for name in wanted}
    assert names <= pinned


LOWEST = Path(sys.prefix).name == ".venv-lowest"
OLDEST = ">={}.{}".format(*sys.version_info)


@pytest.mark.skipif(not LOWEST, reason="not the environment of `make test-lowest`")
def test_the_lower_bounds_are_what_was_tested():
    """A bound below what the others allow says of versions that they work, and nobody tried."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    if project["requires-python"] != OLDEST:
        pytest.skip("the oldest versions have no builds for a newer Python")
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    # not along sys.path, where ray puts copies of its own
    installed = distributions(path=[sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    versions = {canonicalize_name(each.name): each.version for each in installed}
    for requirement in map(Requirement, wanted):
        (bound,) = [each.version for each in requirement.specifier if each.operator == ">="]
        assert Version(versions[canonicalize_name(requirement.name)]) == Version(bound), requirement
