"""What a saved selection keeps for reports comes back as it was, or says what is wrong."""

import json
from dataclasses import fields

import numpy as np
import pyarrow.parquet as pq
import pytest

from airrep.disk.atomic import write_json
from airrep.errors import FileFormatError, MissingInputError
from curate.manifest.provenance import InputRecord, Manifest
from curate.report import explain, read_insight, write_insight
from curate.report.constraints import kept_constraints
from curate.report.kept.insight import Removed
from curate.report.page import render
from selection.constraints import Standing
from selection.top import TargetRows

REMOVED = [
    Removed(70, "a", "leak", "targets t1", 0.9, "same words", source="web", text="the same words"),
    Removed(3, "3", "duplicate", "row 2", 1.0, "other words", warned=True),
]


@pytest.fixture
def saved(make_insight, tmp_path):
    values = np.random.default_rng(5).normal(size=(3, 50))
    insight = make_insight(values, 20, removed=REMOVED, weights=[1, 2, 0])
    write_insight(insight, tmp_path)
    write_json(tmp_path / "manifest.json", insight.manifest)
    return insight, tmp_path


def _assert_same(one, other):
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, field.name
            np.testing.assert_array_equal(a, b, err_msg=field.name)
        elif hasattr(a, "__dataclass_fields__"):
            _assert_same(a, b)
        elif isinstance(a, TargetRows):
            for ours, theirs in zip(a, b, strict=True):
                assert ours.dtype == theirs.dtype, field.name
                np.testing.assert_array_equal(ours, theirs, err_msg=field.name)
        else:
            assert a == b or list(a) == list(b), field.name


def test_it_comes_back_as_it_was(saved):
    insight, directory = saved
    back = read_insight(directory)
    _assert_same(insight, back)
    assert render(back) == render(insight)
    assert str(explain(back, "t0", target=True)) == str(explain(insight, "t0", target=True))


@pytest.mark.parametrize(("targets", "rows", "k"), [(1, 1, 1), (2, 3, 3), (1, 30, 1)])
def test_the_smallest_selections_come_back(make_insight, tmp_path, targets, rows, k):
    insight = make_insight(np.random.default_rng(0).normal(size=(targets, rows)), k)
    write_insight(insight, tmp_path)
    write_json(tmp_path / "manifest.json", insight.manifest)
    _assert_same(insight, read_insight(tmp_path))


@pytest.mark.parametrize("selector", ["herding", "coverage", "top_k_mean", "random"])
def test_the_objective_comes_back(make_insight, tmp_path, selector):
    insight = make_insight(np.random.default_rng(2).normal(size=(3, 40)), 15, selector)
    write_insight(insight, tmp_path)
    write_json(tmp_path / "manifest.json", insight.manifest)
    back = read_insight(tmp_path)
    _assert_same(insight, back)
    assert (back.selection.objective is None) == (selector == "random")
    assert back.selection.best_size == insight.selection.best_size


def test_gains_of_a_version_that_kept_no_objective_are_left_out(make_insight, tmp_path):
    """Of herding they were no changes of one."""
    insight = make_insight(np.random.default_rng(2).normal(size=(3, 40)), 15, "herding")
    write_insight(insight, tmp_path)
    write_json(tmp_path / "manifest.json", insight.manifest)
    file = tmp_path / "insight" / "rows.parquet"
    table = pq.read_table(file)
    about = json.loads(table.schema.metadata[b"curate"])
    del about["objective"]
    table = table.drop_columns(["objective"])
    pq.write_table(table.replace_schema_metadata({b"curate": json.dumps(about)}), file)
    back = read_insight(tmp_path).selection
    assert back.objective is None
    assert np.isnan(back.gains).all()
    assert back.indices.tolist() == insight.selection.indices.tolist()


def test_every_pool_row_is_a_line_with_what_it_helps_most(saved):
    _, directory = saved
    table = pq.read_table(directory / "insight" / "rows.parquet").to_pandas()
    assert table["id"].tolist() == [str(i) for i in range(50)]
    values = np.random.default_rng(5).normal(size=(3, 50)).astype(np.float32)
    assert table["top_target"].tolist() == values.argmax(axis=0).tolist()
    assert sorted(table["rank"].dropna().astype(int)) == list(range(20))


def test_long_texts_are_kept_in_part_and_counted(make_insight, tmp_path):
    insight = make_insight(np.eye(2), 1, prompts=["x" * 90_000] * 2)
    text = insight.texts[0]
    assert len(text.prompt) == 2000
    assert text.prompt_characters == 90_000


def test_a_directory_without_a_selection_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match=r"holds no selection: manifest.json is missing"):
        read_insight(tmp_path)
    with pytest.raises(MissingInputError, match="holds no selection"):
        read_insight(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["rows", "targets", "removed"])
def test_a_missing_or_damaged_file_says_which_and_what_to_do(saved, name):
    _, directory = saved
    file = directory / "insight" / f"{name}.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        FileFormatError,
        match=rf"{name}.parquet: (damaged|not a readable).*; select again: curate select --config",
    ):
        read_insight(directory)
    file.unlink()
    with pytest.raises(MissingInputError, match=rf"{name}.parquet: missing.*curate select"):
        read_insight(directory)


def test_files_of_another_selection_are_refused(saved):
    insight, directory = saved
    manifest = json.loads(json.dumps(insight.manifest))
    manifest["chosen"]["fingerprint"] = "another"
    write_json(directory / "manifest.json", manifest)
    with pytest.raises(FileFormatError, match="belongs to another selection than"):
        read_insight(directory)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"chosen": {}}'])
def test_a_file_that_is_no_manifest_is_refused(saved, text):
    _, directory = saved
    (directory / "manifest.json").write_text(text)
    with pytest.raises(FileFormatError, match=r"not the manifest of a selection"):
        read_insight(directory)


def test_a_file_of_ours_with_a_column_missing_is_refused(saved):
    _, directory = saved
    file = directory / "insight" / "rows.parquet"
    table = pq.read_table(file)
    pq.write_table(table.drop_columns(["gain"]), file)
    with pytest.raises(FileFormatError, match=r"not what a selection leaves there.*gain"):
        read_insight(directory)


def test_a_later_version_may_say_more_of_an_input_and_of_a_constraint(saved):
    kept = {"what": "include", "unit": "rows", "found": 1, "least": 2, "later": None}
    manifest = json.loads(json.dumps(saved[0].manifest))
    manifest["inputs"] = {"pool": {"name": "p", "rows": 3, "fingerprint": "f", "later": 1}}
    manifest["chosen"]["constraints"] = [kept]
    found = Manifest.from_dict(manifest)
    assert found.inputs == {"pool": InputRecord("p", 3, "f")}
    assert (
        found.chosen["constraints"]
        == kept_constraints(manifest)
        == [Standing("include", "rows", 1, 2)]
    )
    assert kept_constraints({"chosen": {}}) == []
