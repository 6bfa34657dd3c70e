"""Two selections of one pool, compared."""

import json

import numpy as np
import pytest
from scipy.stats import spearmanr

import curate
from airrep.errors import ArgumentError, MissingInputError
from curate import cli
from curate.demo_data import demo_pool, demo_targets

POOL, TARGETS = demo_pool(120), demo_targets("dialogue_summary", 4)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Selections by two scorers, of few rows, and of another pool."""
    folder = tmp_path_factory.mktemp("compared")
    common = {"columns": {"source": "task"}, "duplicates": "off"}
    for name, pool, targets, k, scorer in (
        ("words", POOL, TARGETS, 20, "tfidf"),
        ("counts", POOL, TARGETS, 25, "bm25"),
        ("longer", POOL, TARGETS, 40, "tfidf"),
        ("elsewhere", POOL[:-1], TARGETS, 20, "tfidf"),
        ("others", POOL, TARGETS[:2], 20, "tfidf"),
    ):
        curate.select(pool, targets, k, scorer=scorer, output=folder / name, **common)
    return folder


def _rows(directory):
    return curate.TrainingSet.load(directory).dataset["curate_row"][:]


def test_rows_are_shared_or_alone(place):
    found = curate.compare(place / "words", place / "counts")
    first, second = _rows(place / "words"), _rows(place / "counts")
    shared = [row for row in first if row in second]
    assert 3 <= len(shared) < 20
    assert found.shared.tolist() == shared
    assert found.overlap == len(shared) / len({*first, *second})
    ranks = [[rows.index(row) for row in shared] for rows in (first, second)]
    assert found.agreement == pytest.approx(spearmanr(*ranks).statistic)
    for which, (mine, other) in enumerate(((first, second), (second, first))):
        alone = [(rank, str(row)) for rank, row in enumerate(mine) if row not in other]
        assert [(each.rank, each.id) for each in found.alone(which)] == alone


def test_sources_and_targets_are_counted(place):
    found = curate.compare(place / "words", place / "counts")
    first, second = _rows(place / "words"), _rows(place / "counts")
    for each in found.sources:
        assert each.pool == sum(row["task"] == each.source for row in POOL)
        assert each.first == sum(POOL[row]["task"] == each.source for row in first)
        assert each.second == sum(POOL[row]["task"] == each.source for row in second)
    gaps = [abs(each.first - each.second) for each in found.sources]
    assert gaps == sorted(gaps, reverse=True)
    assert [sum(each.first for each in found.targets), len(found.targets)] == [20, 4]
    assert all(each.means is None for each in found.targets), "the scores are of two scorers"


def test_scores_of_one_scorer_are_compared(place):
    found = curate.compare(place / "words", place / "longer")
    loaded = [curate.TrainingSet.load(place / name).insight for name in ("words", "longer")]
    for number, each in enumerate(found.targets):
        expected = [insight.overview.chosen[:, number].mean() for insight in loaded]
        np.testing.assert_allclose(each.means, expected, rtol=1e-5)
    assert "mean score, longer" in str(found)


def test_a_selection_is_like_itself(place):
    found = curate.compare(place / "words", place / "words")
    assert (found.overlap, found.agreement) == (1.0, pytest.approx(1.0))
    assert found.alone(0) == found.alone(1) == []


def test_other_targets_are_said_to_be_others(place):
    found = curate.compare(place / "words", place / "others")
    assert found.targets is None
    assert "The selections are for different targets." in str(found)


def test_other_pools_are_refused(place):
    with pytest.raises(ArgumentError, match=r"different pools \(120 rows of .*, 119 rows of"):
        curate.compare(place / "words", place / "elsewhere")
    with pytest.raises(MissingInputError):
        curate.compare(place / "words", place / "nowhere")


def test_the_command_line_says_the_same(place, capsys):
    both = [str(place / "words"), str(place / "counts")]
    assert cli.main(["compare", *both]) == 0
    said = capsys.readouterr().out
    assert said.startswith("words   20 rows by layered_greedy on tfidf scores\ncounts  25 rows")
    assert "in words alone, best first" in said
    assert cli.main(["compare", *both, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"] == [20, 25]
    assert found["overlap"] == curate.compare(*both).overlap


def test_texts_of_rows_stay_text_on_the_terminal(tmp_path, capsys):
    pool = [{"prompt": f"say \x1b[31m{i}", "completion": f"red {i}"} for i in range(12)]
    for name, scorer in (("a", "tfidf"), ("b", "random")):
        curate.select(
            pool,
            pool[:2],
            4,
            scorer=scorer,
            output=tmp_path / name,
            leakage="off",
            duplicates="off",
        )
    assert cli.main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert "\x1b" not in capsys.readouterr().out
