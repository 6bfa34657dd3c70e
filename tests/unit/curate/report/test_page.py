"""The report: what it says, that text stays text, and that it stays small and loads nothing."""

import base64
import math
import re
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airrep.console.wording import percent
from airrep.errors import OutputError
from airrep.records import Example
from curate.guard import GuardReport, Removal
from curate.report import guarded, wording
from curate.report.composition import composition
from curate.report.coverage import coverage
from curate.report.figures import gain_figure, objective_figure, score_histogram
from curate.report.objective import best_size
from curate.report.page import render, write_report
from selection.selectors.lowest_mean import LowestMean

_VOID = {"meta", "link", "input"}


class _Page(HTMLParser):
    """A page's elements with their text; refuses what is not closed in order."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.text, self.links = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text.append(data)

    def said(self):
        return " ".join(" ".join(self.text).split())

    def of(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def _rows(page):
    return [a for a in page.of("tr") if "data-target" in a]


def test_it_is_a_page_in_order_that_lists_every_chosen_row(insight):
    page = _Page(render(insight))
    assert len(_rows(page)) == 12
    said = page.said()
    assert "12 rows chosen from 60 for 4 targets" in said
    for position in insight.selection.indices.tolist():
        assert f"prompt {position} " in said
        assert f"completion {position} " in said
    for x in range(4):
        assert f"target {x}" in said
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    wanted = {a["href"][1:] for a in page.of("a") if a["href"].startswith("#")}
    assert wanted <= set(ids), "links inside the page lead somewhere"


def test_nothing_is_loaded_and_only_its_own_script_and_style_may_run(insight):
    html = render(insight)
    page = _Page(html)
    for _, attrs in page.tags:
        assert not {"src", "srcset", "action", "data"} & set(attrs)
        assert attrs.get("href", "#").startswith(("#", "data:,"))
    assert "url(" not in html
    assert "@import" not in html
    assert not any("style" in attrs or "onclick" in attrs for _, attrs in page.tags)
    (policy,) = (a["content"] for a in page.of("meta") if "http-equiv" in a)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(sha256(content.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"


NASTY = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7 * 7 }}</td></table>"


def test_text_from_anywhere_stays_text(make_insight):
    from curate.report.kept.insight import Removed

    insight = make_insight(
        np.eye(3), 2, ids=[NASTY, "b", "c"], prompts=[NASTY] * 3, completions=[NASTY] * 3,
        sources=[NASTY, "", NASTY + "2"], target_prompts=[NASTY] * 3,
        removed=[Removed(9, NASTY, "leak", NASTY, 1.0, NASTY, source=NASTY, text=NASTY * 2)],
    )  # fmt: skip
    manifest = {**insight.manifest, "arguments": {"pool": NASTY}}
    manifest["inputs"] = {"pool": {"name": NASTY}, "targets": {"name": NASTY}}
    manifest["encoders"] = [
        {"scorer": NASTY, "name": NASTY, "dtype": NASTY, "encoded": 1, "reused": 2}
    ]
    html = render(replace(insight, manifest=manifest))
    page = _Page(html)
    assert len(page.of("script")) == 1
    assert page.of("img") == []
    assert page.said().count(" ".join(NASTY.split())) > 9


@given(st.text(max_size=200), st.text(max_size=60))
@settings(deadline=None, max_examples=30)
def test_any_text_makes_a_page(make_insight, prompt, source):
    html = render(make_insight(np.eye(2), 2, prompts=[prompt] * 2, sources=[source] * 2))
    assert len(_rows(_Page(html.replace("\0", "")))) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        pytest.param('"' * 30_000, marks=pytest.mark.slow), "漢字" * 9000,
        pytest.param("word " * 4000, marks=pytest.mark.slow),
        pytest.param("a\n" * 9000, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_thousand_rows_of_any_text_stay_below_5_mb(make_insight, text):
    values = np.random.default_rng(0).normal(size=(300, 1200))
    insight = make_insight(
        values, 1000, selector="top_k_max", prompts=[text] * 1200, completions=[text] * 1200,
        ids=[f"{i} {text}" for i in range(1200)], sources=[text] * 1200,
        target_prompts=[text] * 300,
    )  # fmt: skip
    html = render(insight)
    assert len(html.encode()) < 5_000_000, len(html.encode())
    assert "more characters]" in html, "what is cut says so"
    assert "The first 150 of 300 targets are listed" in html


@pytest.mark.slow
def test_of_a_larger_selection_the_first_rows_are_listed_and_it_says_so(make_insight):
    values = np.random.default_rng(0).normal(size=(2, 1800))
    html = render(make_insight(values, 1700, selector="round_robin", prompts=['"' * 4000] * 1800))
    assert len(html.encode()) < 5_000_000, len(html.encode())
    assert len(_rows(_Page(html))) == 1500
    assert "The first 1,500 of 1,700 are listed here" in html


@pytest.mark.parametrize("selector", ["layered_greedy", "plain_greedy", "coverage", "random"])
@pytest.mark.parametrize(("targets", "rows", "k"), [(1, 1, 1), (1, 5, 5), (3, 4, 1), (2, 40, 30)])
def test_selections_of_any_shape_have_a_report(make_insight, selector, targets, rows, k):
    for scale in (0.0, 1.0, -1e-7, 1e9):
        values = scale * np.random.default_rng(rows).normal(size=(targets, rows))
        _Page(render(make_insight(values, k, selector=selector, sources=[""] * rows)))


def test_targets_are_served_or_share_or_starve(make_insight):
    # Row 0 serves target 0 and is target 1's best; no row near target 2's best is chosen.
    values = np.zeros((4, 40))
    values[:, 0] = [9.0, 5.0, -1.0, 0.0]
    values[2, 1:21] = 1.0
    insight = make_insight(values, 1, selector="top_k_max", weights=[1, 1, 1, 0])
    found = {each.target: each.status for each in coverage(insight)}
    assert found == {0: "served", 1: "shares", 2: "starved", 3: "not counted"}
    assert [each.target for each in coverage(insight)] == [2, 1, 0, 3]
    said = _Page(render(insight)).said()
    assert "targets served 1 of 3 1 shares, 1 starved" in said
    assert "1 target of 3 is starved" in said
    assert "1 target earned no row of its own, but shares good rows with others" in said


@pytest.mark.parametrize("selector", ["layered_greedy", "top_k_max", "round_robin", "coverage"])
def test_targets_are_listed_in_the_order_that_the_page_claims(make_insight, selector):
    values = np.random.default_rng(5).normal(size=(12, 90)) * np.linspace(1, 2, 12)[:, None]
    for weights in ([1.0] * 12, [1.0] * 10 + [0.0] * 2):
        insight = make_insight(values, 25, selector=selector, weights=weights)
        listed = coverage(insight)
        found = [(each.status == "not counted", each.earned, each.best_in) for each in listed]
        assert found == sorted(found)
        html = render(insight)
        assert "Least served first: by the rows that a target earned" in _Page(html).said()
        table = html[html.index('<table class="targets') :]
        earned = [each.earned for each in listed]
        marked = ["none"] * 5
        marked[1] = "ascending" if earned == sorted(earned) else "none"
        assert re.findall(r'aria-sort="(\w+)"', table)[:5] == marked
        shown = re.findall(r'class="earned" data-v="(\d+)"', table)
        assert list(map(int, shown)) == earned


def test_of_rows_that_hurt_the_target_that_most_hurt_comes_first(make_insight):
    values = -np.abs(np.random.default_rng(6).normal(size=(5, 40))) * np.arange(1, 6)[:, None]
    insight = make_insight(values, 20, selector=LowestMean(only_negative=True))
    earned = [each.earned for each in coverage(insight)]
    assert earned == sorted(earned, reverse=True)
    assert len(set(earned)) > 2
    assert "the target that most rows hurt comes first" in _Page(render(insight)).said()


def test_the_source_that_grew_most_grew_even_where_many_shrank_more(make_insight):
    # 14 large sources lose four points each, 56 small ones gain one.
    sources = [f"large {i % 14}" for i in range(56)] + [f"small {i}" for i in range(56)]
    values = np.zeros((1, 112))
    values[0, 56:] = 1.0
    said = _Page(render(make_insight(values, 56, selector="top_k_max", sources=sources))).said()
    grown = re.search(r"“(\w+) \d+” grew most, from ([\d.]+)% of the pool to ([\d.]+)%", said)
    assert grown[1] == "small"
    assert float(grown[2]) < float(grown[3])
    assert "The 13 sources that changed most are listed." in said
    assert "57 other sources" in said


def test_where_no_share_changed_none_is_said_to_have_grown(make_insight):
    said = _Page(render(make_insight(np.eye(4), 4, sources=["a", "b"] * 2))).said()
    assert "grew most" not in said


def _standing(what, found, least=None, most=None, unit="rows"):
    return {"what": what, "unit": unit, "found": found, "least": least, "most": most}


def _under(insight, *standings):
    chosen = {**insight.manifest["chosen"], "constraints": list(standings)}
    return replace(insight, manifest={**insight.manifest, "chosen": chosen})


def test_a_selection_without_constraints_says_nothing_of_them(insight):
    assert "onstraints" not in _Page(render(insight)).said().split("Manifest")[0]


def test_constraints_are_listed_with_what_the_selection_holds_of_each(insight):
    kept = _standing("source 'a'", 4, least=2, most=9)
    bound = _standing("all rows", 1, most=1, unit="tokens")
    page = _Page(render(_under(insight, kept, bound)))
    said = page.said()
    assert said.count("All 2 constraints are met; 1 is at its bound.") == 2, "finding and section"
    assert "all rows 1 token 1 met, at the bound source 'a' 4 rows 2 9 met" in said
    assert {"href": "#constraints"} in page.of("a")


def test_a_constraint_that_is_not_met_is_said_to_be_so(insight):
    said = _Page(render(_under(insight, _standing("target 't0'", 2, least=3)))).said()
    assert "1 of 1 constraint is not met." in said
    assert "target 't0' 2 rows 3 not met" in said


def test_composition_adds_up_and_goes_from_growth_to_shrinkage(make_insight):
    sources = [f"s{i % 20}" for i in range(200)]
    insight = make_insight(np.random.default_rng(2).normal(size=(3, 200)), 37, sources=sources)
    found = composition(insight, shown=8)
    assert len(found) == 8
    assert found[-1].name == "13 other sources"
    assert sum(share.pool for share in found) == 200
    assert sum(share.chosen for share in found) == 37
    changes = [share.change for share in found[:-1]]
    assert changes == sorted(changes, reverse=True)
    assert abs(found[-1].change) <= 13 * min(map(abs, changes)) + 1e-12


def test_the_histogram_counts_all_rows_and_the_gains_are_in_the_plot(insight):
    figure = score_histogram(insight)
    assert all(0 <= bar.chosen <= bar.pool <= 100 for bar in figure.bars)
    counted = [re.search(r": (\d+) pool rows?, (\d+) chosen", bar.title) for bar in figure.bars]
    assert sum(int(match[1]) for match in counted) == 60
    assert sum(int(match[2]) for match in counted) == 12
    gains = gain_figure(insight)
    assert len(gains.dots) == 12
    assert all(0 <= dot.x <= 100 and 0 <= dot.y <= 100 for dot in gains.dots)
    layers = len(set(insight.selection.layers.tolist()))
    assert sum(dot.opens for dot in gains.dots) == layers > 1
    lines = objective_figure(insight).lines
    assert len(lines) == layers
    assert sum(len(line.split()) for line in lines) >= 12


@pytest.mark.parametrize("selector", ["herding", "coverage", "layered_greedy", "plain_greedy"])
def test_the_figures_of_gains_and_objective_show_their_differences(make_insight, selector):
    """A few large first gains used to press all others on to one line."""
    values = 0.05 + 0.1 * np.random.default_rng(1).normal(size=(20, 400))
    insight = make_insight(values, 200, selector)
    figure, gains = gain_figure(insight), insight.selection.gains
    heights = np.array([dot.y for dot in figure.dots])
    assert np.ptp(np.quantile(heights, [0.05, 0.95])) > 5
    assert (np.diff(heights[np.argsort(gains)]) <= 0).all(), "the larger gain stands higher"
    objective = objective_figure(insight)
    places = np.array(
        [place.split(",") for line in objective.lines for place in line.split()], float
    )
    assert places.min() >= 0
    assert places.max() <= 100
    assert np.ptp(places[:, 1]) > 80
    assert len(figure.y_ticks) >= 3
    assert len(objective.y_ticks) >= 2


@pytest.mark.parametrize("selector", ["random", "round_robin"])
def test_a_selector_without_an_objective_has_no_gains_to_show(make_insight, selector):
    insight = make_insight(np.random.default_rng(1).normal(size=(3, 40)), 10, selector)
    said = _Page(html := render(insight)).said()
    assert "follows no objective" in said
    assert "gain" not in said.lower().replace("again", "").replace("gains", "", 2)
    assert "nan" not in re.sub(r"<style>.*?</style>|<script>.*?</script>", "", html, flags=re.S)


def test_the_report_says_where_the_objective_is_best(make_insight):
    values = np.random.default_rng(4).normal(size=(4, 60))
    values[:, 20:] -= 2.0
    for selector, words in {
        "herding": ("closest to the targets at", "rows; later rows move the mean away"),
        "plain_greedy": ("group influence largest at", "rows; later rows make it worse"),
        "coverage": ("coverage largest with", "all 30 rows"),
    }.items():
        insight = make_insight(values, 30, selector)
        n = insight.selection.best_size
        where = "" if selector == "coverage" else f"{n} "
        assert (n == 30) == (selector == "coverage")
        expected = f"{words[0]} {where}{words[1]}"
        assert expected in best_size(insight.selection)
        assert expected[1:] in _Page(render(insight)).said()
    for selector in ("random", "layered_greedy"):
        assert best_size(make_insight(values, 30, selector).selection) == ""


@pytest.mark.parametrize("rows", [1, 5])
def test_where_the_objective_is_best_of_rows_that_are_all_alike(make_insight, rows):
    chosen = make_insight(np.full((2, 9), 0.5), rows, "herding").selection
    expected = "the one row (" if rows == 1 else "1 row; later rows bring it no closer ("
    assert f"closest to the targets {'with' if rows == 1 else 'at'} {expected}" in best_size(chosen)


def test_the_guards_removals_are_shown_with_what_they_share(insight):
    text = "before it all. These words are in both of them, word by word. And after that."
    examples = {5: Example("5", "Say: " + text, "yes", "web", 5), 7: Example("7", "x", text, "", 7)}
    report = GuardReport(
        "remove", "warn", 9,
        removed=(Removal(5, "5", "leak", "targets 3", 0.97, "These words are in both of them"),),
        warned=(Removal(7, "7", "duplicate", "2", 1.0, "not there as it is written"),),
    )  # fmt: skip
    removed = guarded(report, examples.__getitem__)
    html = render(replace(insight, removed=removed))
    said = _Page(html).said()
    assert "Say: before it all. <mark>These words are in both of them</mark>, word by" in html
    assert "<mark>not there as it is written</mark>" in html
    assert "leak row 5 web : 97% of targets 3 is found again in it" in said
    assert "row 7 , left in the pool: 100% of row 2 is found again" in said
    assert "Taken out of the pool before anything was scored: 1 leak." in said


def test_a_passage_is_marked_where_it_stands_in_the_row(insight):
    """Also if it is another text's, with other capitals, or goes on from prompt to completion."""
    row = Example("5", "Please write DOWN the words", "Of the song. And more.", "web", 5)
    span = "write down the words → of the song"
    guard = GuardReport("remove", "off", 60, (Removal(5, "5", "leak", "targets 1", 0.9, span),))
    html = render(replace(insight, removed=guarded(guard, {5: row}.__getitem__)))
    assert (
        '<p class="passage">Please <mark>write DOWN the words Of the song</mark>. And more.</p>'
        in html
    )


def test_the_page_is_written_whole_or_not_at_all(insight, tmp_path):
    path = write_report(insight, tmp_path / "new" / "report.html")
    assert path.read_text("utf-8").startswith(render(insight))
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError):
        write_report(insight, tmp_path / "taken")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["report.html"]


def test_the_page_is_the_same_every_time(insight):
    assert render(insight) == render(insight)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.5, "0.500"), (-0.0123, "−0.0123"), (1234.5, "1,234"), (1.26e-7, "1.26e−7"),
     (2.5e9, "2.50e9"), (12.34, "12.3"), (0.9999, "1.00"), (math.inf, "inf")],
)  # fmt: skip
def test_numbers_for_people(value, text):
    assert wording.number(value) == text


def test_shares_points_durations_and_places_for_people():
    shares = (0, 0.0004, 0.034, 0.5, 0.996, 0.9999, 1)
    assert [percent(s) for s in shares] == [
        "0%", "< 0.1%", "3.4%", "50%", "99.6%", "> 99.9%", "100%",
    ]  # fmt: skip
    assert [wording.points(c) for c in (0.123, -0.0456, 0.0001)] == ["+12", "−4.6", "0.0"]
    assert [wording.duration(s) for s in (0.001, 1.52, 42, 60, 3725)] == [
        "< 0.01 s", "1.5 s", "42 s", "1 min", "1 h 2 min",
    ]  # fmt: skip
    assert [wording.ordinal(n) for n in (1, 2, 3, 11, 22, 113)] == [
        "1st", "2nd", "3rd", "11th", "22nd", "113th",
    ]  # fmt: skip
    assert [wording.fixed(v, 2) for v in (-0.001, -1.5, 1234.0)] == ["0.00", "−1.50", "1,234.00"]


@given(st.text(), st.integers(0, 60))
def test_cut_text_is_a_beginning_that_fits_and_counts_the_rest(text, size):
    kept = wording.cut(text, size)
    if kept == text:
        assert wording.escaped_size(text) <= size
        return
    start, note = re.fullmatch(r"(.*)… \[([\d,]+) more characters?\]", kept, re.DOTALL).groups()
    assert text.startswith(start)
    assert wording.escaped_size(start) <= size
    assert len(start) + int(note.replace(",", "")) == len(text)


def test_cut_text_ends_with_a_word_and_one_character_is_one():
    assert wording.cut("less than there was", 11) == "less than… [10 more characters]"
    assert wording.cut("a b", 2) == "a… [2 more characters]"
    assert wording.cut("abc", 2) == "ab… [1 more character]"
    assert wording.on_a_line("one <two> three", 16) == "one <two>…"
