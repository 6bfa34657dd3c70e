"""Scores and embeddings of one's own, in place of a scorer's and an encoder's."""

from __future__ import annotations

import json

import numpy as np
import pytest

import curate
from airrep.disk.digests import file_digest
from airrep.errors import ArgumentError, CurateError, EmbeddingError, MissingInputError
from curate import cli
from curate.demo_data import demo_pool, demo_targets
from curate.stages.own_scores import OwnEmbeddings, OwnScores, embedding_pair
from curate.stages.scorer_choice import make_scorer
from selection.scorers import ScoreAverage
from selection.scores import DenseScores
from selection.selectors import make_selector

POOL, TARGETS = demo_pool(40), demo_targets("email_reply", 3)
LEAKING = [*POOL[:20], TARGETS[1], *POOL[20:]]  # row 20 is removed by the guard
RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(3, 41))
QUERIES, ROWS = RNG.normal(size=(3, 8)).astype(np.float32), RNG.normal(size=(41, 8))
REST = np.delete(np.arange(41), 20)


def _rows(chosen):
    return list(chosen.selection.ids)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, values in {"scores": SCORES, "queries": QUERIES, "rows": ROWS}.items():
        np.save(f"{name}.npy", values)
    for name, rows in {"pool": LEAKING, "targets": TARGETS}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.parametrize("selector", ["layered_greedy", "top_k_mean", "round_robin"])
def test_an_array_of_scores_chooses_and_columns_of_removed_rows_are_left_out(selector):
    chosen = curate.select(LEAKING, TARGETS, 6, scorer=SCORES, selector=selector)
    assert chosen.guard.counts["leaks"] == 1
    expected = make_selector(selector).select(DenseScores(SCORES[:, REST]), 6)
    assert _rows(chosen) == [str(REST[i]) for i in expected.indices]
    np.testing.assert_array_equal(chosen.selection.scores, expected.scores)


def test_a_file_chooses_as_the_array_does_and_its_digest_is_recorded(here):
    by_file = curate.select(LEAKING, TARGETS, 6, scorer=here / "scores.npy")
    assert _rows(by_file) == _rows(curate.select(LEAKING, TARGETS, 6, scorer=SCORES))
    (record,) = by_file.manifest.encoders
    assert record["fingerprint"] == file_digest(here / "scores.npy")
    assert by_file.manifest.chosen["scorer"] == record["name"] == "scores.npy"
    assert by_file.manifest.arguments["scorer"] == str(here / "scores.npy")


def test_the_best_of_near_duplicates_stays_by_own_scores():
    twice = [*POOL, POOL[3]]
    scores = np.zeros((3, 41))
    scores[:, 40] = 1.0
    chosen = curate.select(
        twice, TARGETS, 1, scorer=scores, duplicates="best", selector="top_k_max"
    )
    assert _rows(chosen) == ["40"]


@pytest.mark.parametrize("selector", ["herding", "layered_greedy"])
def test_embeddings_choose_as_their_inner_products_do(here, selector):
    pair = QUERIES, ROWS
    chosen = curate.select(LEAKING, TARGETS, 6, encoder=pair, selector=selector)
    files = curate.select(
        LEAKING, TARGETS, 6, encoder=("queries.npy", here / "rows.npy"), selector=selector
    )
    assert _rows(chosen) == _rows(files)
    assert files.manifest.arguments["encoder"] == [
        str(here / "queries.npy"),
        str(here / "rows.npy"),
    ]
    assert files.manifest.chosen["scorer"] == "queries.npy and rows.npy"
    if selector == "layered_greedy":
        scores = (QUERIES.astype(np.float64) @ ROWS.T).astype(np.float32)
        by_scores = curate.select(LEAKING, TARGETS, 6, scorer=scores, selector=selector)
        assert _rows(chosen) == _rows(by_scores)


def test_own_scores_average_with_a_scorer_by_name(here):
    made = make_scorer(["tfidf", "scores.npy"])
    assert isinstance(made, ScoreAverage)
    assert made.name == "tfidf + scores.npy"
    chosen = curate.select(LEAKING, TARGETS, 4, scorer=["tfidf", "scores.npy"])
    assert chosen.manifest.arguments["scorer"] == ["tfidf", str(here / "scores.npy")]


def test_the_command_line_takes_files_and_a_manifest_repeats_them(here, capsys):
    command = [
        "select",
        "--pool",
        "pool.jsonl",
        "--targets",
        "targets.jsonl",
        "--k",
        "5",
        "--progress",
        "false",
    ]
    for number, given in enumerate(
        [["--scorer", "scores.npy"], ["--encoder", "[queries.npy, rows.npy]"]]
    ):
        assert cli.main([*command, *given, "--output", f"out{number}"]) == 0
        capsys.readouterr()
        assert cli.main(["select", "--config", f"out{number}/manifest.json"]) == 0
        assert capsys.readouterr().out.endswith("same rows as in the manifest\n")


def test_a_run_with_another_file_of_scores_is_told_apart(here):
    np.save("others.npy", -SCORES)
    curate.select(LEAKING, TARGETS, 5, scorer="scores.npy", output=here / "out")
    curate.select(LEAKING, TARGETS, 5, scorer="scores.npy", output=here / "out")
    with pytest.raises(CurateError, match=r"another run \(.*scorer"):
        curate.select(LEAKING, TARGETS, 5, scorer="others.npy", output=here / "out")


def test_rows_that_hurt_are_found_by_signed_scores_of_ones_own():
    hurts = np.where(np.arange(41) == 7, -1.0, 1.0)[None].repeat(3, axis=0)
    assert _rows(curate.harmful(LEAKING, TARGETS, scorer=hurts)) == ["7"]


BROKEN = SCORES.copy()
BROKEN[2, 30] = np.nan
LOST = ROWS.copy()
LOST[33, 1] = np.inf
REFUSED = {
    "too few columns": (
        {"scorer": SCORES[:, :40]},
        EmbeddingError,
        r"3 targets × 41 pool rows, found.*\(3, 40\)\.$",
    ),
    "transposed": ({"scorer": SCORES.T}, EmbeddingError, r"found shape \(41, 3\)\. Transpose them"),
    "nan": ({"scorer": BROKEN}, EmbeddingError, r"of target 2 and pool row 30 .* is nan"),
    "no file": ({"scorer": "nope.npy"}, MissingInputError, r"scorer: no file 'nope\.npy'"),
    "no numbers": ({"scorer": np.array([["a"]])}, CurateError, "expected one array of numbers"),
    "in a list": ({"scorer": ["tfidf", SCORES]}, ArgumentError, "found ndarray in it"),
    "herding": ({"scorer": SCORES, "selector": "herding"}, ArgumentError, "have none; choose"),
    "a model": ({"scorer": SCORES, "model": "lm"}, ArgumentError, "'own scores' does not look at"),
    "one array": ({"encoder": ROWS}, ArgumentError, "a pair of arrays.*; found one of them"),
    "one file": ({"encoder": "rows.npy"}, ArgumentError, "a pair of arrays.*; found one of them"),
    "three": ({"encoder": (QUERIES, ROWS, ROWS)}, ArgumentError, "a pair of arrays"),
    "lost file": ({"encoder": ("a.npy", ROWS)}, MissingInputError, r"encoder: no file 'a\.npy'"),
    "pool rows": (
        {"encoder": (QUERIES, ROWS[1:])},
        EmbeddingError,
        r"of 41 pool rows.*\(40, 8\)\.$",
    ),
    "turned": ({"encoder": (QUERIES.T, ROWS)}, EmbeddingError, r"3 targets.*\(8, 3\)\. Transpose"),
    "sizes": ({"encoder": (QUERIES[:, 1:], ROWS)}, EmbeddingError, "found 7 of the targets and 8"),
    "infinite": ({"encoder": (QUERIES, LOST)}, EmbeddingError, r"of pool row 33 \(counting from 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case):
    given, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        curate.select(LEAKING, TARGETS, 5, **given)


def test_without_rows_scores_are_of_what_is_asked_for():
    targets, pool = (
        curate.rows.io.read_rows(rows, "x").examples().examples for rows in (TARGETS, LEAKING)
    )
    values = OwnScores(SCORES).score(targets, pool).values()
    np.testing.assert_array_equal(values, SCORES.astype(np.float32))
    products = OwnEmbeddings(QUERIES, ROWS).score(targets, pool).values()
    np.testing.assert_allclose(products, QUERIES @ ROWS.T, rtol=1e-6)


def test_what_encodes_is_no_pair():
    assert embedding_pair(None) is embedding_pair("owner/name") is embedding_pair(object()) is None
