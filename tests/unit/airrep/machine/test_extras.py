"""Without an optional package, or with one that does not fit, the message says what to install."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from airrep.engines.cluster import check_ray
from airrep.errors import ArgumentError
from airrep.language_model.lora import check_lora
from airrep.machine.extras import import_extra
from eval_harness.measures.standard_suites import lm_eval_tasks

ROOT = Path(__file__).parents[4]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
USES = [("peft", "lora"), ("ray", "ray"), ("lm_eval", "lm-eval")]


@pytest.fixture
def use(tmp_path):
    calls = {
        "lora": lambda: check_lora(None, 2),
        "ray": check_ray,
        "lm-eval": lambda: lm_eval_tasks(tmp_path, ["mmlu"]),
    }
    return lambda extra: calls[extra]()


@pytest.mark.parametrize(("module", "extra"), USES)
def test_a_package_that_is_missing(module, extra, use, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ArgumentError, match="which is not installed") as refused:
        use(extra)
    assert f"pip install 'airrep-curate[{extra}]'" in str(refused.value)


@pytest.mark.parametrize(("module", "extra"), USES)
def test_a_package_that_does_not_fit_is_not_called_missing(
    module, extra, use, tmp_path, monkeypatch
):
    """As peft 0.17 with transformers 5, where one of its own imports fails."""
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / module).mkdir()
    (tmp_path / module / "__init__.py").write_text("from json import HybridCache\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ArgumentError, match="cannot import name 'HybridCache'") as refused:
        use(extra)
    assert "not installed" not in str(refused.value)
    assert f"pip install --upgrade 'airrep-curate[{extra}]'" in str(refused.value)


def test_a_package_that_misses_another_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("import no_such_module_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ArgumentError, match="No module named 'no_such_module_at_all'"):
        import_extra("half_there", package="half-there", extra="ray", purpose="this")


def test_the_extras_that_messages_and_pages_name_exist():
    named = set()
    for root in ("airrep", "selection", "eval_harness", "curate", "docs", "examples"):
        for file in [*(ROOT / root).rglob("*.py"), *(ROOT / root).rglob("*.md")]:
            named |= set(re.findall(r"airrep-curate\[([\w-]+)\]", file.read_text("utf-8")))
            named |= set(re.findall(r'extra="([\w-]+)"', file.read_text("utf-8")))
    assert {extra for _, extra in USES} <= named <= set(PROJECT["optional-dependencies"])
