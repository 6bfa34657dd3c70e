"""A training set is used like its data set, shown in a line, and uploaded with a card."""

from __future__ import annotations

import filecmp
import shutil

import pytest

import curate
from airrep import AirRep
from airrep.errors import FileFormatError, MissingInputError
from curate.training_set import DatasetCard
from selection import DenseScores


@pytest.fixture(scope="module")
def chosen():
    pool = curate.demo_pool(120)
    pool[3]["prompt"] = "<script>alert(1)</script> " + pool[3]["prompt"]
    targets = curate.demo_targets("dialogue_summary", 3)
    include = {"include": ["3"]}
    return curate.select(
        pool, targets, k=8, scorer="tfidf", selector="round_robin", constraints=include
    )


def test_its_repr_is_a_line(chosen):
    found = repr(chosen)
    assert found.startswith("TrainingSet(8 rows of ")
    assert found.endswith("for 3 targets, by round_robin of tfidf scores)")


def test_it_is_indexed_sliced_and_iterated_like_its_dataset(chosen):
    assert len(chosen) == 8
    assert chosen[0] == chosen.dataset[0]
    assert chosen[2:4] == chosen.dataset[2:4]
    assert chosen["curate_rank"] == chosen.dataset["curate_rank"]
    assert [row["curate_rank"] for row in chosen] == list(range(8))


def test_it_becomes_a_data_frame(chosen):
    frame = chosen.to_pandas()
    assert frame["curate_row"].tolist() == chosen.dataset["curate_row"][:]
    assert len(frame) == 8


def test_a_notebook_shows_the_first_rows_and_runs_nothing_of_them(chosen):
    page = chosen._repr_html_()
    assert page.count("<tr") == 6
    assert "3 more" in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_results_and_encoders_have_short_reprs(chosen, encoder):
    assert repr(chosen.selection).startswith("Selection(8 rows by round_robin for 3 targets: '")
    scores = DenseScores([[1.0, 2.0]])
    assert repr(scores) == "DenseScores(1 target × 2 pool rows, given, scale=1)"
    assert isinstance(encoder, AirRep)
    assert repr(encoder).startswith("AirRep('the built-in encoder', dim=")


def test_it_is_uploaded_with_a_card_that_quotes_what_it_says(chosen, monkeypatch):
    sent = {}

    class Commit:
        commit_url = "https://hub/commit"

    def push(self, repo_id, private):
        sent.update(columns=self.column_names, repo=repo_id, private=private)
        return Commit

    monkeypatch.setattr("datasets.Dataset.push_to_hub", push)
    written = DatasetCard("---\nlicense: mit\n---\n")
    monkeypatch.setattr(DatasetCard, "load", lambda repo_id: written)
    monkeypatch.setattr(DatasetCard, "push_to_hub", lambda self, repo: sent.update(card=str(self)))
    assert chosen.push_to_hub("me/mine", private=True) == "https://hub/commit"
    assert (sent["repo"], sent["private"]) == ("me/mine", True)
    assert sent["columns"] == ["prompt", "completion"]
    for part in ("license: mit", "# mine", "8 rows", '"selector": "round_robin"'):
        assert part in sent["card"]


def _files(directory):
    return sorted(
        str(file.relative_to(directory)) for file in directory.rglob("*")
        if file.is_file() and not file.name.startswith(".")
    )  # fmt: skip


POOL = [*curate.demo_pool(90), curate.demo_pool(90)[7]]
KINDS = {
    "constraints": {"selector": "layered_greedy", "constraints": {"include": ["3"]}},
    "certified": {"selector": "layered_greedy"},
    "objective": {"selector": "coverage", "columns": {"source": "task"}},
    "none": {"selector": "top_k_max", "duplicates": "warn"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_set_is_loaded_as_it_was(kind, tmp_path, monkeypatch):
    if kind == "certified":
        monkeypatch.setattr("curate.stages.choosing.fits", lambda *_: False)
    targets = curate.demo_targets("dialogue_summary", 3)
    made = curate.select(POOL, targets, k=8, scorer="tfidf", **KINDS[kind])
    saved = made.save(tmp_path / "saved")
    loaded = curate.TrainingSet.load(saved)
    assert loaded.dataset.to_list() == made.dataset.to_list()
    assert loaded.dataset.features == made.dataset.features
    assert loaded.to_trl().to_list() == made.to_trl().to_list()
    assert loaded.manifest == made.manifest
    assert loaded.summary() == made.summary()
    assert repr(loaded) == repr(made)
    assert loaded.guard.removed == made.guard.removed
    assert loaded.guard.warned == made.guard.warned
    assert str(loaded.explain(0)) == str(made.explain(0))
    pages = [each.report(tmp_path / f"{n}.html") for n, each in enumerate((made, loaded))]
    assert filecmp.cmp(*pages, shallow=False)
    assert (loaded.selection.certificate is not None) == (kind == "certified")
    again = loaded.save(tmp_path / "again")
    assert _files(again) == _files(saved)
    for name in _files(saved):
        assert filecmp.cmp(saved / name, again / name, shallow=False), name


def test_a_set_saved_as_jsonl_is_loaded(chosen, tmp_path):
    loaded = curate.TrainingSet.load(chosen.save(tmp_path, format="jsonl"))
    assert loaded.to_trl().to_list() == chosen.to_trl().to_list()
    assert loaded["curate_row"] == chosen["curate_row"]


def test_what_is_not_a_whole_selection_is_not_loaded(chosen, tmp_path):
    with pytest.raises(MissingInputError, match="holds no selection"):
        curate.TrainingSet.load(tmp_path)
    saved = chosen.save(tmp_path / "saved")
    (saved / "selection.parquet").unlink()
    with pytest.raises(MissingInputError, match=r"no selection\.parquet or selection\.jsonl"):
        curate.TrainingSet.load(saved)
    (saved / "selection.parquet").write_bytes(b"PAR1")
    with pytest.raises(FileFormatError, match=r"selection\.parquet"):
        curate.TrainingSet.load(saved)
    other = curate.select(POOL, curate.demo_targets("email_reply", 3), k=8, scorer="tfidf")
    shutil.copy(other.save(tmp_path / "other") / "selection.parquet", saved)
    with pytest.raises(FileFormatError, match="holds other rows than"):
        curate.TrainingSet.load(saved)
