"""What is installed, what is exported, and what an import costs."""

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ["airrep", "selection", "selection.scorers", "selection.selectors", "eval_harness",
            "curate", "curate.demo_data"]  # fmt: skip


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_listed_packages_are_the_folders_on_disk():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    roots = {package.split(".")[0] for package in listed}
    found = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for root in roots
        for file in (ROOT / root).rglob("__init__.py")
    }
    assert sorted(listed) == sorted(found)
    assert roots == {"airrep", "selection", "eval_harness", "curate"}


@pytest.mark.parametrize("package", PACKAGES)
def test_exports_resolve_and_unknown_names_do_not(package):
    module = import_module(package)
    assert len(set(module.__all__)) == len(module.__all__) > 0
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError):
        module.no_such_name  # noqa: B018


def test_importing_the_library_brings_neither_torch_nor_datasets():
    heavy = "{'torch', 'transformers', 'datasets', 'pandas', 'sklearn', 'trl'}"
    roots = "import airrep, selection, eval_harness, curate"
    assert _run(f"import sys; {roots}; print(sorted({heavy} & set(sys.modules)))") == "[]"


def test_the_check_above_can_fail():
    assert _run("import sys, airrep.pooling; print('torch' in sys.modules)") == "True"


def test_scoring_by_words_needs_no_torch():
    code = (
        "import sys, curate\n"
        "rows = [{'text': f'row {i}'} for i in range(9)]\n"
        "curate.select(rows, rows[:2], 3, scorer='tfidf')\n"
        "print('torch' in sys.modules)"
    )
    assert _run(code) == "False"


def test_the_version_is_stated_once():
    from importlib.metadata import version

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
