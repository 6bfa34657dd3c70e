import ast
import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import airrep
from airrep.errors import SupervisionError
from airrep.records import Example
from airrep.supervision import (
    SubsetLosses,
    SubsetPlan,
    example_digests,
    read_run,
    run_file,
    write_run,
)

POOL = [Example(f"p{i}", f"prompt {i}", f"completion {i}") for i in range(12)]
EVALUATION = [Example(f"e{i}", "", f"answer {i}") for i in range(5)]
PROVENANCE = {"model": "m1", "runner": "stacked", "learning_rate": 2e-5}


def make_plan(**changes):
    settings = {
        "subsets": [np.array([0, 3, 5]), np.array([1, 2]), np.array([4, 7, 9, 11])],
        "kinds": ["uniform", "uniform", "few_sources"],
        "repeats": 2,
        "seed": 3,
        "roles": {"test": np.array([0, 2]), "train": np.array([1, 3, 4])},
        "pool": example_digests(POOL),
        "evaluation": example_digests(EVALUATION),
    }
    return SubsetPlan(**(settings | changes))


PLAN = make_plan()
LOSSES = np.random.default_rng(0).gamma(2.0, size=(3, 2, 5))


def record(directory, plan=PLAN, *, runs=None, **provenance):
    plan.save(directory)
    for subset, repeat in plan.runs if runs is None else runs:
        facts = {"provenance": PROVENANCE | provenance, "seconds": subset + repeat / 4, "seed": 1}
        write_run(run_file(directory, subset, repeat), plan, LOSSES[subset, repeat], facts)
    return directory


@pytest.fixture
def recorded(tmp_path):
    return record(tmp_path / "losses")


def test_a_round_trip(recorded):
    found = SubsetLosses.load(recorded, model="m1")
    np.testing.assert_array_equal(found.values, LOSSES)
    assert found.provenance == PROVENANCE
    assert found.seconds.tolist() == [[0, 0.25], [1, 1.25], [2, 2.25]]
    plan = found.plan
    assert [rows.tolist() for rows in plan.subsets] == [[0, 3, 5], [1, 2], [4, 7, 9, 11]]
    assert (plan.kinds, plan.repeats, plan.seed) == (PLAN.kinds, 2, 3)
    assert {name: rows.tolist() for name, rows in plan.roles.items()} == {
        "test": [0, 2], "train": [1, 3, 4],
    }  # fmt: skip
    assert plan.fingerprint == PLAN.fingerprint
    assert plan.runs == PLAN.runs
    plan.check(POOL, EVALUATION)


def test_the_files_are_json_and_safetensors(recorded):
    assert {file.suffix for file in recorded.rglob("*") if file.is_file()} == {
        ".json", ".safetensors", "",
    }  # fmt: skip
    assert {file.name for file in recorded.rglob("*") if not file.suffix} == {"runs", ".lock"}
    described = json.loads((recorded / "plan.json").read_text())
    assert described["roles"] == {"test": 2, "train": 3}
    assert described["pool_rows"] == 12


@pytest.mark.slow
def test_nothing_of_ours_reads_or_writes_pickles():
    root = Path(airrep.__file__).parents[1]
    for package in ("airrep", "selection", "eval_harness", "curate"):
        for file in (root / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    names = {alias.name for alias in node.names} | {getattr(node, "module", "")}
                    assert not names & {"pickle", "cloudpickle", "dill", "joblib", "shelve"}, file
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    called = ast.unparse(node.func)
                    assert called not in ("torch.load", "torch.save"), file
                    assert "allow_pickle=True" not in ast.unparse(node), file


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [*POOL[:4], replace(POOL[4], completion="!"), *POOL[5:]],
            r"1 pool row changed .* position 4 \(id 'p4'\)",
        ),
        (
            [*POOL[:2], POOL[3], POOL[2], *POOL[4:]],
            r"2 pool rows changed .* position 2 \(id 'p3'\)",
        ),
        ([*POOL[:6], *POOL[7:]], r"drawn for 12 pool rows, found 11; .* position 6 \(id 'p7'\)"),
        (POOL[:-1], r"drawn for 12 pool rows, found 11; .* position 11 \(missing\)"),
        ([*POOL, Example("new", "a", "b")], r"found 13; .* position 12 \(id 'new'\)"),
    ],
)
def test_other_rows_are_refused_and_named(rows, message):
    with pytest.raises(SupervisionError, match=message):
        PLAN.check(rows, EVALUATION)


def test_other_evaluation_examples_are_refused():
    changed = [*EVALUATION[:3], replace(EVALUATION[3], prompt="asked"), EVALUATION[4]]
    with pytest.raises(SupervisionError, match=r"1 evaluation row changed .* \(id 'e3'\)"):
        PLAN.check(POOL, changed)
    PLAN.check([replace(e, id="other", source="s", row=99) for e in POOL], EVALUATION)


def test_where_the_prompt_ends_counts():
    pair = [Example("0", "ab", "c"), Example("0", "a", "bc")]
    assert len(np.unique(example_digests(pair), axis=0)) == 2
    assert example_digests([]).shape == (0, 16)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 4},
        {"repeats": 1},
        {"kinds": ["uniform"] * 3},
        {"roles": {"test": np.array([0, 2])}},
        {"roles": {"exam": np.array([0, 2]), "train": np.array([1, 3, 4])}},
        {"subsets": [np.array([0, 3]), np.array([5, 1, 2]), np.array([4, 7, 9, 11])]},
        {"pool": example_digests(POOL[::-1])},
    ],
)
def test_another_plan_in_the_directory(changes, recorded):
    other = make_plan(**changes)
    assert other.fingerprint != PLAN.fingerprint
    with pytest.raises(SupervisionError, match=r"holds the runs of another plan"):
        other.save(recorded)
    PLAN.save(recorded)


def test_missing_runs_are_counted_and_named(tmp_path):
    record(tmp_path, runs=[(0, 0), (1, 1)])
    message = (
        r"4 of 6 runs are missing \(subset 0 repeat 1, subset 1 repeat 0, subset 2 repeat 0 …\)"
    )
    with pytest.raises(SupervisionError, match=message):
        SubsetLosses.load(tmp_path)
    record(tmp_path, runs=[(0, 1), (1, 0), (2, 1)])
    with pytest.raises(SupervisionError, match=r"1 of 6 .* \(subset 2 repeat 0\).*goes on where"):
        SubsetLosses.load(tmp_path)


def test_no_plan(tmp_path):
    with pytest.raises(SupervisionError, match=r"no plan of subsets here \(plan.json is missing"):
        SubsetLosses.load(tmp_path)
    PLAN.save(tmp_path)
    (tmp_path / "plan.safetensors").unlink()
    with pytest.raises(SupervisionError, match="no plan of subsets here"):
        SubsetPlan.load(tmp_path)


def test_plans_of_two_directories_mixed(recorded, tmp_path):
    make_plan(seed=9).save(tmp_path / "other")
    make_plan(subsets=PLAN.subsets[::-1]).save(tmp_path / "another")
    shutil.copy(tmp_path / "another" / "plan.safetensors", recorded)
    with pytest.raises(SupervisionError, match="do not belong together"):
        SubsetPlan.load(recorded)


def test_runs_of_another_plan(recorded, tmp_path):
    other = record(tmp_path / "other", make_plan(seed=9))
    shutil.copy(run_file(other, 1, 0), run_file(recorded, 1, 0))
    with pytest.raises(SupervisionError, match=r"00001-0.safetensors: is a run of another plan"):
        SubsetLosses.load(recorded)


def test_runs_of_another_recipe_or_model(recorded):
    record(recorded, runs=[(1, 0)], learning_rate=1e-3)
    with pytest.raises(SupervisionError, match=r"00001-0.*learning_rate is 0.001, not 2e-05"):
        SubsetLosses.load(recorded)
    record(recorded, runs=[(1, 0)], extra="yes")
    with pytest.raises(SupervisionError, match=r"extra is 'yes', not None"):
        SubsetLosses.load(recorded)
    record(recorded)
    with pytest.raises(SupervisionError, match=r"another model \(fingerprint m1, expected m2\)"):
        SubsetLosses.load(recorded, model="m2")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_no_number(value, recorded):
    broken = LOSSES[2, 1].copy()
    broken[3] = value
    write_run(run_file(recorded, 2, 1), PLAN, broken, {"provenance": PROVENANCE, "seconds": 1})
    with pytest.raises(SupervisionError, match=r"00002-1.safetensors: holds NaN or infinite"):
        SubsetLosses.load(recorded)


def test_a_run_of_other_examples(recorded):
    facts = {"provenance": PROVENANCE, "seconds": 1}
    write_run(run_file(recorded, 2, 1), PLAN, LOSSES[2, 1, :4], facts)
    with pytest.raises(SupervisionError, match="is a run of another plan"):
        SubsetLosses.load(recorded)


def test_a_plan_from_the_future(recorded):
    file = recorded / "plan.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 2}))
    (recorded / "plan.safetensors").write_bytes(b"of the future")
    with pytest.raises(SupervisionError, match=r"format 2 is of a later version .* up to 1"):
        SubsetPlan.load(recorded)


FILES = ["plan.json", "plan.safetensors", "runs/00001-0.safetensors"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file(name, share, recorded):
    file = recorded / name
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(SupervisionError, match="damaged"):
        SubsetLosses.load(recorded)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_refused_or_changes_nothing(name, recorded):
    file = recorded / name
    content = file.read_bytes()
    draw = random.Random(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        damaged[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        file.write_bytes(damaged)
        try:
            found = SubsetLosses.load(recorded, model="m1")
        except SupervisionError:
            refused += 1
        else:
            np.testing.assert_array_equal(found.values, LOSSES)
            assert found.plan.fingerprint == PLAN.fingerprint
            assert found.provenance == PROVENANCE
    assert refused > 150


def test_a_run_that_is_another_kind_of_file(recorded):
    file = run_file(recorded, 0, 0)
    whole = load_file(file)
    save_file(whole, file)
    with pytest.raises(SupervisionError, match="delete it, and the run is repeated"):
        read_run(file, PLAN)
    facts = json.dumps({"plan": PLAN.fingerprint, "provenance": PROVENANCE, "seconds": 1})
    save_file(whole, file, {"facts": facts})
    with pytest.raises(SupervisionError, match="delete it, and the run is repeated"):
        read_run(file, PLAN)
    save_file(whole, file, {"facts": facts, "digest": "of something else"})
    with pytest.raises(SupervisionError, match="its content is not what was written"):
        read_run(file, PLAN)
    save_file({"other": whole["losses"]}, file, {"facts": "{}", "digest": ""})
    with pytest.raises(SupervisionError, match="damaged"):
        read_run(file, PLAN)


@pytest.mark.parametrize("content", ["[]", "3", "null", '{"format": 1}', "\xff"])
def test_a_plan_that_is_something_else(content, recorded):
    (recorded / "plan.json").write_text(content, "latin-1")
    with pytest.raises(SupervisionError, match="the plan is damaged"):
        SubsetPlan.load(recorded)


def test_seeds_of_runs_are_their_own():
    seeds = [PLAN.run_seed(s, r) for s in range(50) for r in range(4)]
    assert len(set(seeds)) == 200
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert seeds[0] != make_plan(seed=4).run_seed(0, 0)
