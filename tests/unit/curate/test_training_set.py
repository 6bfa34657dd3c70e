"""A training set is used like its data set, shown in a line, and uploaded with a card."""

from __future__ import annotations

import pytest

import curate
from airrep import AirRep
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
