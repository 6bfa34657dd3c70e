"""Tables: means, intervals, paired differences, and what they look like."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from eval_harness.benchmark.plots import _spread, plot_attribution, plot_trials
from eval_harness.benchmark.tables import (
    attribution_markdown,
    cheap_markdown,
    differences_markdown,
    interval,
    selectors_markdown,
    summarize_trials,
    trials_markdown,
)

VALUES = np.array([[1.0, 4.0, 2.5], [6.0, 5.0, 9.0]])  # two sources, three seeds


def _frame(values):
    return pd.DataFrame(
        [
            {"source": f"s{i}", "seed": j, "value": value}
            for i, row in enumerate(values)
            for j, value in enumerate(row)
        ]
    )


def _trials(sources=("a", "b"), seeds=3, settings=(("present", 10),), **extra):
    rng = np.random.default_rng(0)
    arms = {"random": 0.0, "tfidf · coverage": -0.3, "bm25 · coverage": 0.1}
    rows = []
    for setting, budget in settings:
        for source in sources:
            for seed in range(seeds):
                problem = 10 * rng.random()
                common = {"setting": setting, "budget": budget, "source": source, "seed": seed}
                rows += [
                    {
                        **common, "arm": arm, "scorer": arm.split()[0], "selector": "x",
                        "loss": problem + shift + 0.01 * rng.random(), "losses": [1.0, 2.0],
                        "own_source": 0.5, "wrong": 0.25, **extra,
                    }
                    for arm, shift in arms.items()
                ]  # fmt: skip
                rows.append({**rows[-1], "arm": "no fine-tuning", "scorer": "none",
                             "own_source": None, "wrong": None, "loss": problem + 5})  # fmt: skip
    return rows


# --- intervals ---


def test_the_interval_is_the_t_tests_over_sources():
    """Against scipy's own one-sample t-test on the sources' means."""
    values = np.random.default_rng(0).standard_normal((6, 3))
    expected = stats.ttest_1samp(values.mean(axis=1), 0).confidence_interval(0.9)
    mean, low, high = interval(_frame(values), "value", confidence=0.9)
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_the_order_of_rows_does_not_matter():
    frame = _frame(VALUES)
    assert interval(frame, "value") == interval(frame.sample(frac=1, random_state=0), "value")


def test_one_source_varies_by_its_seeds_alone():
    expected = stats.ttest_1samp(VALUES[0], 0).confidence_interval(0.95)
    found = interval(_frame(VALUES[:1]), "value")
    assert found == pytest.approx((VALUES[0].mean(), expected.low, expected.high))


def test_a_single_value_has_no_interval():
    mean, low, high = interval(_frame([[2.0]]), "value")
    assert mean == 2.0
    assert math.isnan(low)
    assert math.isnan(high)


def test_two_values_of_one_source_and_seed_are_an_error():
    with pytest.raises(ValueError, match="duplicate"):
        interval(pd.concat([_frame(VALUES)] * 2), "value")


def test_intervals_cover_what_they_promise_even_with_few_sources():
    """Of sources that differ and seeds that differ, 6 and 3 of them."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        values = rng.standard_normal((6, 1)) + 0.5 * rng.standard_normal((6, 3))
        _, low, high = interval(_frame(values), "value")
        held += low < 0 < high
    assert 0.92 < held / 400 < 0.98


# --- summaries ---


def test_differences_are_taken_problem_by_problem():
    trials = _trials(sources=tuple("abcdef"))
    summary = summarize_trials(trials).set_index("arm")
    losses = pd.DataFrame(trials).pivot(index=["source", "seed"], columns="arm", values="loss")
    for arm in losses:
        paired = (losses[arm] - losses["random"]).groupby("source").mean().mean()
        assert summary.loc[arm, "vs"] == pytest.approx(paired)
        assert summary.loc[arm, "loss"] == pytest.approx(losses[arm].mean())
    best = summary.loc["tfidf · coverage"]
    assert best["vs_low"] <= best["vs"] <= best["vs_high"] < -0.28
    assert best["vs_high"] - best["vs_low"] < 0.05 < best["loss_high"] - best["loss_low"]
    assert (summary.loc["random", ["vs", "vs_low", "vs_high"]] == 0).all()


def test_every_setting_and_budget_has_rows_of_its_own():
    trials = _trials(settings=(("present", 10), ("present", 20), ("removed", 10)))
    summary = summarize_trials(trials)
    assert len(summary) == 3 * 4
    assert summary.groupby(["setting", "budget"], sort=False).size().tolist() == [4, 4, 4]
    text = trials_markdown(summary)
    assert [line for line in text.splitlines() if line.startswith("**")] == [
        "**present, 10 rows**", "**present, 20 rows**", "**removed, 10 rows**",
    ]  # fmt: skip


def _cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_downstream_table_is_sorted_and_has_the_columns_that_were_measured():
    text = trials_markdown(summarize_trials(_trials(exact=0.5, f1=0.75)))
    title, blank, head, rule, *rows = text.splitlines()
    assert (title, blank) == ("**present, 10 rows**", "")
    assert _cells(head) == [
        "method", "loss", "loss − random", "exact", "F1", "F1 − random", "own source",
    ]  # fmt: skip
    assert len(_cells(rule)) == 7
    assert [_cells(row)[0] for row in rows] == [
        "tfidf · coverage", "random", "bm25 · coverage", "no fine-tuning",
    ]  # fmt: skip
    assert _cells(rows[0])[2].startswith("-0.")
    assert "[" in _cells(rows[0])[2]
    assert _cells(rows[1])[2] == "0"
    assert _cells(rows[2])[2].startswith("+0.")
    assert _cells(rows[0])[3:] == ["0.50", "0.75", "+0.000 [+0.000, +0.000]", "0.50"]
    assert _cells(rows[3])[6] == ""


def test_wrong_rows_are_shown_where_there_are_some():
    text = trials_markdown(summarize_trials(_trials(settings=(("wrong_labels", 10),))))
    assert _cells(text.splitlines()[2]) == [
        "method", "loss", "loss − random", "own source", "wrong rows",
    ]  # fmt: skip
    assert _cells(text.splitlines()[4])[-1] == "0.25"


def test_a_single_problem_is_shown_without_intervals():
    text = trials_markdown(summarize_trials(_trials(sources=("a",), seeds=1)))
    assert "nan" not in text
    assert "[" not in text


# --- attribution ---


def _methods():
    return [
        {"method": name, "sum": 0.1, "sum_low": 0.0, "sum_high": 0.2, "attention": lds,
         "attention_low": lds - 0.1, "attention_high": lds + 0.1, "scale": 40.0,
         "validation": 0.3, "seconds_per_row": 0.0125, "bytes_per_row": size}
        for name, lds, size in (("tfidf", 0.2, None), ("airrep", 0.35, 1536))
    ]  # fmt: skip


CEILING = {"single": 0.5, "single_low": 0.4, "single_high": 0.6, "corrected": 0.66,
           "attainable": 0.81}  # fmt: skip


def test_the_attribution_table():
    head, rule, first, second, blank, noise = attribution_markdown(_methods(), CEILING).splitlines()
    assert len(_cells(head)) == len(_cells(rule)) == 6
    assert _cells(first) == [
        "airrep", "0.100 [0.000, 0.200]", "0.350 [0.250, 0.450]", "40", "12.50", "1,536",
    ]  # fmt: skip
    assert _cells(second)[0] == "tfidf"
    assert _cells(second)[-1] == ""
    assert blank == ""
    assert "agree at 0.500 [0.400, 0.600];" in noise
    assert noise.endswith("would reach 0.810.")


def test_the_attribution_table_with_tasks():
    of_tasks = {"tasks": 12, "task": 0.5, "task_low": 0.4, "task_high": 0.6}
    head, _, first, *_ = attribution_markdown([m | of_tasks for m in _methods()], None).splitlines()
    assert _cells(head)[3] == "LDS of 12 tasks"
    assert _cells(first)[3] == "0.500 [0.400, 0.600]"


def test_without_a_ceiling_or_intervals_nothing_is_made_up():
    assert len(attribution_markdown(_methods(), None).splitlines()) == 4
    unknown = CEILING | {"single_low": math.nan, "single_high": math.nan}
    text = attribution_markdown([m | {"sum_low": math.nan} for m in _methods()], unknown)
    assert "nan" not in text
    assert "agree at 0.500;" in text


def test_differences_and_cheaper_training():
    gaps = [
        {"method": "a", "difference": d, "difference_low": d - 1, "difference_high": d + 1}
        for d in (-0.5, 0.25)
    ]
    lines = differences_markdown(gaps, "b").splitlines()
    assert _cells(lines[0]) == ["method", "LDS − b"]
    assert _cells(lines[2])[1] == "0.250 [-0.750, 1.250]"
    cheap = {"trainable": "last:1", "agreement": 0.7, "agreement_low": 0.6, "agreement_high": 0.8,
             "seconds_per_run": 0.256, "full_seconds_per_run": 1.0}  # fmt: skip
    assert _cells(cheap_markdown([cheap]).splitlines()[2]) == [
        "last:1", "0.700 [0.600, 0.800]", "0.26", "1.00",
    ]  # fmt: skip


# --- pictures ---


@pytest.mark.parametrize("panels", [1, pytest.param(2, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("seeds", [1, 2])
def test_pictures_are_drawn_with_and_without_intervals(panels, seeds, tmp_path):
    pytest.importorskip("matplotlib")
    settings = [("present", 10 * (i + 1)) for i in range(panels)]
    summary = summarize_trials(_trials(("a",), seeds, settings))
    plot_trials(summary, tmp_path / "trials.png")
    broken = [m | {"sum_low": math.nan, "sum_high": math.nan} for m in _methods()]
    broken[0] |= {"attention_high": broken[0]["attention"] - 1e-17}
    plot_attribution(broken, CEILING if seeds == 1 else None, tmp_path / "attribution.png")
    for name in ("trials", "attribution"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_rounding_never_makes_a_negative_error_bar():
    found = _spread([0.3, 0.1], [0.3 + 1e-17, math.nan], [0.3 - 1e-17, math.nan])
    assert (found[:, 0] == 0).all()
    assert np.isnan(found[:, 1]).all()


def test_selectors_are_compared_with_one_of_them_problem_by_problem():
    rows = [
        {**problem, "scorer": "airrep", "selector": selector, "loss": base + gap + noise}
        for i, (setting, budget) in enumerate((("present", 10), ("removed", 20)))
        for source, base in (("a", 1.0), ("b", 7.0))
        for seed, noise in ((0, 0.5), (1, -0.5))
        for problem in [{"setting": setting, "budget": budget, "source": source, "seed": seed}]
        for selector, gap in (("layered_greedy", 0.0), ("coverage", 0.1 * (i + 1)), ("top_k", -1.0))
    ]
    lines = selectors_markdown(rows, "airrep", "layered_greedy").splitlines()
    assert lines[0] == "| loss − layered_greedy | top_k | coverage |"
    assert lines[2] == ("| present, 10 rows | -1.000 [-1.000, -1.000] | +0.100 [+0.100, +0.100] |")
    assert lines[-1] == "| all | -1.000 [-1.000, -1.000] | +0.150 [+0.150, +0.150] |"
