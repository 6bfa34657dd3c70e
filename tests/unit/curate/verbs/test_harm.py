"""`curate.harmful`: the rows of the lowest mean influence, below 0, and what is said of them."""

import json
import re

import numpy as np
import pytest

import curate
from airrep.errors import ArgumentError, OutputError
from airrep.language_model.model import LanguageModel
from airrep.records import normalize
from curate import cli
from curate.demo_data import demo_pool, demo_targets
from curate.manifest.provenance import differences
from curate.report import explain, read_insight
from selection import DenseScores
from selection.scorers import GradientScorer

TARGETS = [{"prompt": f"say {word}", "completion": word} for word in ("red", "green", "blue")]


class Numbers:
    """Scores that stand in the completions, one for each target."""

    name = "numbers"
    signed = True

    def score(self, targets, pool):
        values = [[float(part) for part in row.completion.split()] for row in pool]
        return DenseScores(
            np.array(values).T, method=self.name, pool_ids=[row.id for row in pool],
            target_ids=[target.id for target in targets],
        )  # fmt: skip


def _pool(*rows):
    """Rows that no guard confuses."""
    return [
        {"prompt": f"{name}: {' '.join(name * n for n in range(1, 9))}",
         "completion": " ".join(map(str, scores)), "source": "odd" if i % 2 else "even"}
        for i, (name, scores) in enumerate(zip("abcdefgh", rows, strict=False))
    ]  # fmt: skip


# means: -0.5, 1, -1, 0, -0.1
POOL = _pool([-2, 0.5, 0], [1, 1, 1], [-1, -2, 0], [1, -1, 0], [0.2, 0.2, -0.7])


@pytest.fixture
def found():
    return curate.harmful(POOL, TARGETS, 4, scorer=Numbers())


def test_the_rows_that_hurt_come_worst_first_with_their_mean_and_whom_they_hurt_most(found):
    rows = found.dataset
    assert rows["curate_row"][:] == [2, 0, 4]
    np.testing.assert_allclose(rows["curate_gain"][:], [-1.0, -0.5, -0.1], rtol=1e-6)
    assert rows["curate_target"][:] == ["1", "0", "2"]
    np.testing.assert_allclose(rows["curate_score"][:], [-2.0, -2.0, -0.7], rtol=1e-6)
    assert rows["completion"][:] == [POOL[i]["completion"] for i in (2, 0, 4)]
    assert found.manifest.chosen["selector"] == "lowest_mean"


def test_weights_count(found):
    alone = curate.harmful(POOL, TARGETS, 4, scorer=Numbers(), weights=[0, 0, 1])
    assert alone.dataset["curate_row"][:] == [4]
    assert alone.dataset["curate_target"][:] == ["2"]


def test_where_nothing_hurts_that_is_said():
    with pytest.raises(ArgumentError, match=r"no row hurts: of 2 rows .* is 0,"):
        curate.harmful(_pool([1, 1, 1], [0, 1, -1]), TARGETS, 2, scorer=Numbers())


@pytest.mark.slow
def test_the_gradient_scorer_against_its_own_scores(tiny_lm):
    pool, targets = demo_pool(40), demo_targets("email_reply", 3)
    model = LanguageModel.from_pretrained(tiny_lm)
    result = curate.harmful(pool, targets, 40 - 10, model=model)
    examples = [[normalize(row, index=i) for i, row in enumerate(rows)] for rows in (targets, pool)]
    left = [examples[1][row] for row in result.insight.rows.tolist()]
    means = GradientScorer(model).score(examples[0], left).values().astype(float).mean(axis=0)
    below = [i for i in np.argsort(means, kind="stable") if means[i] < 0][:30]
    assert result.dataset["curate_row"][:] == [left[i].row for i in below]
    np.testing.assert_allclose(result.dataset["curate_gain"][:], means[below], rtol=1e-5)
    assert result.manifest.chosen["scorer"] == "gradient"


@pytest.mark.parametrize(
    ("scorer", "why"),
    [
        ("airrep", "unlike the target, not that training on it hurts; choose gradient or gradient"),
        ("tfidf", "unlike the target"),
        ("bm25", "unlike the target"),
        ("rds", "unlike the target"),
        ("random", "mean nothing"),
        (["gradient", "airrep"], "'airrep' cannot find what hurts"),
        (["gradient", "gradient_cosine"], "0 is the average pool row"),
        ("psychic", "unknown"),
        ([], "empty"),
    ],
)
def test_scores_whose_sign_means_no_harm_are_refused_before_anything_is_read(scorer, why):
    with pytest.raises(ArgumentError, match=why):
        curate.harmful("no-such.jsonl", "none.jsonl", 3, scorer=scorer, model="no-such-model")


def test_a_scorer_of_ones_own_has_to_say_that_it_is_signed():
    class Silent(Numbers):
        signed = False

    with pytest.raises(ArgumentError, match=r"'numbers' does not say .* set its attribute signed"):
        curate.harmful(POOL, TARGETS, 2, scorer=Silent())
    with pytest.raises(ArgumentError, match="an object with a score method, found int"):
        curate.harmful(POOL, TARGETS, 2, scorer=7)


def test_a_missing_model_and_a_place_that_cannot_be_written_are_said_first(tmp_path):
    with pytest.raises(ArgumentError, match="'gradient' needs the language model"):
        curate.harmful("no-such.jsonl", "none.jsonl", 3)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        curate.harmful("no-such.jsonl", "none.jsonl", 3, model="x", output=tmp_path / "file")


def test_the_guard_is_the_same():
    leak = {"prompt": "say red", "completion": "red", "source": "even"}
    pool = [dict(row) for row in POOL] + [dict(POOL[2], id="copy")]
    result = curate.harmful(pool, TARGETS, 4, scorer=Numbers())
    assert result.dataset["curate_row"][:] == [2, 0, 4]
    assert [each.row for each in result.guard.removed] == [5]
    both = curate.harmful(pool, TARGETS, 4, scorer=Numbers(), duplicates="off")
    assert both.dataset["curate_row"][:] == [2, 5, 0, 4]
    with pytest.raises(ArgumentError, match="guard removed every row"):
        curate.harmful([leak], TARGETS, 1, scorer=Numbers())


# --- what is said ---


def test_the_summary_says_that_they_hurt_and_how_many_there_are(found):
    said = found.summary()
    assert "3 rows that hurt, by lowest_mean on numbers scores, fewer than k = 4: " in said
    assert "no other row has a mean below 0" in said
    assert "hurt most" in said
    assert "chose " not in said
    assert "earned" not in said
    exact = curate.harmful(POOL, TARGETS, 2, scorer=Numbers()).summary()
    assert "2 rows that hurt" in exact
    assert "fewer than" not in exact


def test_explanations_of_rows_that_hurt(found):
    worst = found.explain("2")
    assert [helped.id for helped in worst.helps] == ["1", "0", "2"], "hurt most first"
    assert (worst.gain_place, worst.higher, worst.harm) == (1, 0, True)
    assert [rival.id for rival in worst.rivals] == ["3", "1"], "not in, lowest for target 1 first"
    said = str(worst)
    assert "row 2 (even) hurts: 1st of 3 rows (rank 0)" in said
    assert "hurts most  target 1" in said
    assert "no chosen row scores lower" in said
    assert "mean        −1.00 over the targets, the lowest of 3" in said
    for wrong in ("help", "earned", "is in", "gain"):
        assert wrong not in said
    second = found.explain("0")
    assert (second.gain_place, second.higher) == (2, 0)
    assert "the 2nd lowest of 3" in str(second)


def test_explanations_of_other_rows_and_of_targets(found):
    other = str(found.explain("1"))
    assert "row 1 (odd) is not among the 3 rows that hurt most" in other
    assert "Its mean over the targets is not below 0" in other
    assert "rivals" not in other
    target = str(found.explain("0", target=True))
    assert "target 0 is hurt most by 1 of the 3 rows that hurt" in target
    assert "served" not in target
    assert "earned" not in target


def _text(page):
    """What a reader sees before the manifest."""
    body = page[page.index("<body>") : page.index('<section id="manifest"')]
    return re.sub(r"<[^>]*>", "", body)


def test_the_report_does_not_speak_of_help(found, tmp_path):
    page = found.report(tmp_path / "report.html").read_text("utf-8")
    body = _text(page)
    assert "3 rows that hurt, of 5, for 3 targets" in body
    assert "They are fewer than k = 4, because no other row that was scored has a mean" in body
    assert "Hurts most:" in body
    for wrong in ("starved", "served", "chosen from", "earned", "Best first", "Helps most:"):
        assert wrong not in body, wrong
    assert "curate harmful --config manifest.json" in page
    chosen = curate.select(POOL, TARGETS, 2, scorer=Numbers())
    page = chosen.report(tmp_path / "select.html").read_text("utf-8")
    assert "2 rows chosen from 5 for" in page
    assert "curate select --config manifest.json" in page
    assert "hurt" not in _text(page)


def test_what_is_saved_explains_itself(found, tmp_path):
    found.save(tmp_path)
    insight = read_insight(tmp_path)
    assert insight.of_harm
    assert str(explain(insight, "2")) == str(found.explain("2"))
    assert str(explain(insight, "0", target=True)) == str(found.explain("0", target=True))


# --- the command line ---


@pytest.mark.slow
def test_the_command_line_writes_repeats_and_refuses_what_does_not_belong(
    tmp_path, monkeypatch, capsys, tiny_lm
):
    monkeypatch.chdir(tmp_path)
    for name, rows in (("pool", demo_pool(40)), ("targets", demo_targets("email_reply", 3))):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["--pool", "pool.jsonl", "--targets", "targets.jsonl", "--progress", "false"]
    given = ["harmful", *options, "--k", "5", "--model", str(tiny_lm), "--format", "jsonl"]
    assert cli.main([*given, "--output", "out"]) == 0
    out = capsys.readouterr().out
    assert "rows that hurt, by lowest_mean on gradient scores" in out
    assert out.endswith("wrote   out\n")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["verb"] == "harmful"
    assert manifest["arguments"]["model"] == str(tiny_lm)
    assert cli.main(["harmful", "--config", "out/manifest.json", "--output", "again"]) == 0
    assert capsys.readouterr().out.endswith("same rows as in the manifest\n")
    again = json.loads((tmp_path / "again" / "manifest.json").read_text())
    assert differences(manifest, again) == []
    rows = [(tmp_path / d / "selection.jsonl").read_text() for d in ("out", "again")]
    assert rows[0] == rows[1]
    assert cli.main(["select", "--config", "out/manifest.json"]) == 2
    assert "repeated by curate harmful --config" in capsys.readouterr().err
    assert cli.main(["harmful", *options, "--scorer", "tfidf"]) == 1
    assert "'tfidf' cannot find what hurts" in capsys.readouterr().err
