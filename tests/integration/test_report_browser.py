"""The report in a real browser: it loads nothing, complains of nothing, sorts, searches, opens."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

import curate
from curate.demo_data import demo_pool, demo_targets

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium (the dev extra)")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
DRIVER = shutil.which("chromedriver")
T0 = Path(__file__).parents[3] / "shared" / "data" / "t0.parquet"
NASTY = "<script>alert('ran')</script><img src='http://example.invalid/x.png'>"
OPTIONS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--window-size=1280,900", "--force-prefers-reduced-motion",
]  # fmt: skip
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="needs chromium and chromedriver (Debian: apt-get install chromium-driver)",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in [*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module", params=["demo", pytest.param("t0", marks=pytest.mark.slow)])
def report(request, tmp_path_factory):
    """(selection, file): rows of the demo with one that holds HTML; a real selection from T0."""
    file = tmp_path_factory.mktemp(request.param) / "report.html"
    if request.param == "demo":
        targets = demo_targets("email_reply", 30)
        pool = [*demo_pool(200), {**targets[0], "prompt": targets[0]["prompt"] + NASTY}]
        # the guard would take the row with HTML for a leak of its target
        chosen = curate.select(pool, targets, 120, scorer="tfidf", leakage="off")
    else:
        if not T0.exists():
            pytest.skip("needs ../shared/data beside the repository")
        rows = pd.read_parquet(T0)
        pool = rows[rows.split == "pool"].sample(3000, random_state=0).drop(columns="split")
        targets = rows[(rows.split == "target") & (rows.dataset == "samsum")].head(20)
        chosen = curate.select(pool, targets.drop(columns="split"), 1000, scorer="tfidf")
    chosen.report(file)
    return chosen, file


@pytest.fixture
def page(browser, report):
    """The report, opened; afterwards: nothing was loaded, and nothing complained of."""
    chosen, file = report
    browser.set_window_size(1280, 900)
    browser.get("about:blank")
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what came before
    browser.get(file.as_uri())
    yield browser, chosen, file
    assert browser.get_log("browser") == []
    requested = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            requested.append(message["params"]["request"]["url"].split("#")[0])
    assert set(requested) <= {file.as_uri(), "data:,"}
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def _shown(browser):
    return browser.execute_script(
        "return [...document.querySelectorAll('#chosen tbody tr')]"
        ".filter((row) => row.offsetParent)"
        ".map((row) => [...row.cells].map((cell) => cell.textContent.trim()))"
    )


def _column(browser, number):
    return [
        float(row[number].split()[-1].replace(",", "").replace("−", "-")) for row in _shown(browser)
    ]


def _count(browser):
    return browser.find_element(By.ID, "count").text


def _search(browser, text):
    field = browser.find_element(By.ID, "query")
    field.clear()
    field.send_keys(text)  # the search begins when typing stops


def _press(browser, name):
    """Reach a column's button and press it as a keyboard does."""
    (button,) = [
        each
        for each in browser.find_elements(By.CSS_SELECTOR, "#chosen thead button")
        if each.text.startswith(name)
    ]
    button.send_keys(Keys.ENTER)
    return button.find_element(By.XPATH, "..").get_attribute("aria-sort")


def test_it_shows_the_selection_and_is_small(page):
    browser, chosen, file = page
    assert file.stat().st_size < 5_000_000
    assert f"{len(chosen):,} rows chosen from" in browser.find_element(By.TAG_NAME, "h1").text
    rows = _shown(browser)
    assert len(rows) == 50
    assert _count(browser) == f"{len(chosen):,} rows, the first 50 shown"
    assert [row[0] for row in rows] == [str(rank) for rank in range(50)]
    browser.find_element(By.ID, "show-all").click()
    assert len(_shown(browser)) == len(chosen)
    for figure in browser.find_elements(By.CSS_SELECTOR, "svg[role=img]"):
        assert figure.get_attribute("aria-label")


@pytest.mark.slow
def test_columns_sort_both_ways_with_the_keyboard(page):
    browser, chosen, _ = page
    browser.find_element(By.ID, "show-all").click()
    assert _press(browser, "Score") == "ascending"
    up = _column(browser, 4)
    assert up == sorted(up)
    assert len(up) == 50, "sorting goes back to the first rows"
    assert _press(browser, "Score") == "descending"
    down = _column(browser, 4)
    assert down == sorted(down, reverse=True)
    assert down[0] == pytest.approx(float(chosen.selection.scores.max()), abs=0.01)
    assert _press(browser, "Rank") == "ascending"
    assert _column(browser, 0) == list(range(50))
    sorts = [
        header.get_attribute("aria-sort")
        for header in browser.find_elements(By.CSS_SELECTOR, "#chosen th[aria-sort]")
    ]
    assert sorts == ["ascending", "none", "none", "none", "none", "none"]


@pytest.mark.slow
def test_search_finds_words_ids_and_nothing(page, wait_until):
    browser, chosen, _ = page
    source = chosen.insight.sources[chosen.selection.indices[0]]
    words = f"{source[:4].upper()} {chosen.selection.ids[0]}"
    _search(browser, words)
    wait_until(lambda: 0 < len(_shown(browser)) < 50, "the search for words and an id", 30)
    found = _shown(browser)
    assert _count(browser).startswith(f"{len(found)} of {len(chosen):,} rows")
    assert any(row[0] == "0" for row in found), "the row itself"
    _search(browser, "no row says zzyzx")
    wait_until(lambda: _shown(browser) == [], "the search for what no row says", 30)
    assert browser.find_element(By.ID, "nothing").is_displayed()
    browser.find_element(By.ID, "clear").click()
    assert len(_shown(browser)) == 50
    assert browser.switch_to.active_element.get_attribute("id") == "query"


def test_filters_show_a_sources_or_a_targets_rows(page):
    browser, chosen, _ = page
    options = browser.find_elements(By.CSS_SELECTOR, "#source option")[1:]
    options[0].click()
    indices = chosen.selection.indices.tolist()
    expected = sum(chosen.insight.sources[i] == options[0].text for i in indices)
    assert _count(browser).startswith(
        f"{expected:,} of" if expected < len(chosen) else f"{expected}"
    )
    browser.find_elements(By.CSS_SELECTOR, "#source option")[0].click()
    option = browser.find_elements(By.CSS_SELECTOR, "#target option")[1]
    option.click()
    earned = (chosen.selection.targets == int(option.get_attribute("value"))).sum()
    assert _count(browser).startswith(f"{earned:,} of")


def test_details_open_and_close_with_the_keyboard(page):
    browser, _, _ = page
    button = browser.find_element(By.CSS_SELECTOR, "#chosen tbody .expand")
    row = button.find_element(By.XPATH, "ancestor::tr")
    details = row.find_element(By.CSS_SELECTOR, ".more")
    assert not details.is_displayed()
    button.send_keys(Keys.SPACE)
    assert details.is_displayed()
    assert button.get_attribute("aria-expanded") == "true"
    assert "Helps most:" in details.text
    button.send_keys(Keys.SPACE)
    assert not details.is_displayed()


@pytest.mark.slow
def test_a_rows_target_leads_to_that_target_even_if_it_is_not_listed_yet(page, wait_until):
    browser, _, _ = page
    hidden = browser.find_elements(By.CSS_SELECTOR, ".targets tbody tr[hidden]")
    place = hidden[-1] if hidden else browser.find_element(By.CSS_SELECTOR, ".targets tbody tr")
    browser.execute_script("location.hash = arguments[0].id", place)
    wait_until(place.is_displayed, "the target that the address names", 30)
    assert place.find_element(By.CSS_SELECTOR, ".more").is_displayed()


def test_html_in_a_row_is_text(page, wait_until):
    browser, chosen, _ = page
    if len(chosen.insight.ids) > 1000:
        pytest.skip("T0's rows hold no HTML of ours")
    _search(browser, "alert('ran')")
    wait_until(lambda: len(_shown(browser)) == 1, "the search for the row with HTML", 30)
    (row,) = _shown(browser)
    assert NASTY in row[1]
    assert browser.find_elements(By.TAG_NAME, "img") == []
    assert len(browser.find_elements(By.TAG_NAME, "script")) == 1
    with pytest.raises(Exception, match="no such alert"):
        browser.switch_to.alert  # noqa: B018


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_its_window_and_text_can_be_read(page, theme, width):
    browser, _, _ = page
    media = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        for button in browser.find_elements(By.CSS_SELECTOR, ".expand")[:3]:
            browser.execute_script("arguments[0].click()", button)
        root = "document.documentElement"
        assert browser.execute_script(f"return {root}.scrollWidth") <= width
        ink, paper = browser.execute_script(
            "const style = getComputedStyle(document.body); return [style.color,"
            "style.backgroundColor].map((c) => c.match(/\\d+/g).slice(0, 3).map(Number))"
        )
        assert abs(sum(ink) - sum(paper)) > 500
        assert (sum(paper) > 600) == (theme == "light")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_without_javascript_everything_is_there_to_read(page):
    browser, chosen, _ = page
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.refresh()
        rows = browser.find_elements(By.CSS_SELECTOR, "#chosen tbody tr")
        assert len(rows) == len(chosen)
        assert rows[-1].is_displayed()
        assert rows[0].find_element(By.CSS_SELECTOR, ".more").is_displayed()
        assert not browser.find_element(By.ID, "query").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        browser.refresh()
