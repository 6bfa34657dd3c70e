"""What the forge runs is what `make` runs here, with no more rights than it needs."""

import itertools
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted(path.name for path in (ROOT / ".github/workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PYTHONS = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
TARGETS = set(re.findall(r"^([\w-]+):(?!=)", MAKEFILE, re.MULTILINE))
# Who may do more than read the code, and what.
RIGHTS = {("release.yml", "publish"): {"id-token": "write"}}


def _read(name):
    return yaml.safe_load((ROOT / ".github/workflows" / name).read_text("utf-8"))


def _jobs():
    return [
        pytest.param(name, job, id=f"{name}:{job}") for name in WORKFLOWS
        for job in _read(name)["jobs"]
    ]  # fmt: skip


def _filled(text, matrix):
    """A text of a step, for each point of its job's matrix."""
    axes = {axis: values for axis, values in matrix.items() if f"matrix.{axis} " in text}
    for point in itertools.product(*axes.values()):
        filled = text
        for axis, value in zip(axes, point, strict=True):
            filled = filled.replace(f"${{{{ matrix.{axis} }}}}", value)
        yield filled


def test_there_are_workflows_of_tests_docs_and_releases():
    assert WORKFLOWS == ["docs.yml", "release.yml", "tests.yml"]


@pytest.mark.parametrize(("name", "job"), _jobs())
def test_every_command_is_a_target_of_the_makefile(name, job):
    described = _read(name)["jobs"][job]
    matrix = described.get("strategy", {}).get("matrix", {})
    for step in described.get("steps", []):
        assert ("run" in step) != ("uses" in step), step
        for line in _filled(step.get("run", "make test"), matrix):
            assert re.fullmatch(r"make [\w-]+", line), line
            assert line.split()[1] in TARGETS, line


@pytest.mark.parametrize(("name", "job"), _jobs())
def test_actions_of_others_are_pinned_to_a_commit_whose_version_is_said(name, job):
    text = (ROOT / ".github/workflows" / name).read_text("utf-8")
    described = _read(name)["jobs"][job]
    used = [described["uses"]] if "uses" in described else []
    used += [step["uses"] for step in described.get("steps", []) if "uses" in step]
    for action in used:
        if action.startswith("./"):
            assert (ROOT / action).exists()
            continue
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)
        assert re.search(rf"{re.escape(action)}  # v\d+\.\d+\.\d+$", text, re.MULTILINE)


@pytest.mark.parametrize(("name", "job"), _jobs())
def test_nobody_may_do_more_than_needed(name, job):
    workflow = _read(name)
    described = workflow["jobs"][job]
    assert workflow["permissions"] == {"contents": "read"}
    assert described.get("permissions", {}) == RIGHTS.get((name, job), {})
    assert "secrets" not in str(workflow)
    triggers = workflow[True]  # YAML reads `on` as true
    assert "pull_request_target" not in triggers
    for step in described.get("steps", []):
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize(("name", "job"), _jobs())
def test_no_job_waits_for_ever(name, job):
    described = _read(name)["jobs"][job]
    assert "uses" in described or 0 < described["timeout-minutes"] <= 60


def test_the_matrix_is_of_the_pythons_that_the_classifiers_name():
    matrix = _read("tests.yml")["jobs"]["matrix"]["strategy"]["matrix"]
    assert matrix["python-version"] == PYTHONS
    assert set(matrix["versions"]) == {"lowest", "newest"}
    assert {"ubuntu-latest", "macos-latest"} <= set(matrix["os"])
    others = {
        step["with"]["python-version"]
        for name in WORKFLOWS for job in _read(name)["jobs"].values()
        for step in job.get("steps", []) if "python-version" in step.get("with", {})
    } - {"${{ matrix.python-version }}"}  # fmt: skip
    assert others <= set(PYTHONS)


def test_a_release_is_published_only_after_the_tests_and_the_tags_check():
    jobs = _read("release.yml")["jobs"]
    assert jobs["tests"]["uses"] == "./.github/workflows/tests.yml"
    assert "workflow_call" in _read("tests.yml")[True]
    assert set(jobs["publish"]["needs"]) == {"tests", "build"}
    commands = [step["run"] for step in jobs["build"]["steps"] if "run" in step]
    assert commands == ["make release-check", "make package"]
    assert _read("release.yml")[True] == {"push": {"tags": ["v*"]}}


def test_hooks_before_a_commit_are_the_commands_of_make_check():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    (repo,) = config["repos"]
    hooks = {hook["entry"].removeprefix(".venv/bin/") for hook in repo["hooks"]}
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)[1]
    commands = {
        re.sub(r"( --check)?( \.)?$", "", line.strip().removeprefix("$(BIN)/"))
        for line in recipe.splitlines()
    }
    assert hooks == commands


def test_targets_that_make_no_file_are_declared_so():
    phony = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())
    assert phony == TARGETS
