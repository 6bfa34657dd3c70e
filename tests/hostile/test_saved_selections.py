"""What `curate report` and `curate explain` read back: whole and escaped, or refused."""

import json
import random
import shutil

import pytest

import curate
from airrep.errors import CurateError, FileFormatError
from curate.demo_data import demo_pool, demo_targets
from curate.verbs.explain import explain
from curate.verbs.report import report

FILES = ["manifest.json", "insight/rows.parquet", "insight/targets.parquet",
         "insight/removed.parquet"]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A saved selection with leaks and duplicates."""
    directory = tmp_path_factory.mktemp("whole")
    pool = [*demo_pool(40), *demo_pool(3), *demo_targets("email_reply", 1)]
    chosen = curate.select(pool, demo_targets("email_reply", 3), 6, scorer="tfidf")
    return chosen.save(directory)


def _read(directory):
    page = report(directory).read_text("utf-8")
    told = [str(explain(directory, name, target=target)) for name, target in
            (("0", False), ("1", True), ("40", False))]  # fmt: skip
    assert all(text.strip() for text in told)
    assert page.count("</html>") == 1
    assert "</html>\n<!-- airrep-curate: a report of selection" in page
    return page


@pytest.mark.parametrize("cases", [40, pytest.param(1000, marks=pytest.mark.torture)])
def test_damaged_selections_are_shown_whole_or_refused(
    tmp_path, whole, mutate, mutate_value, as_json, outcome, cases
):
    rng, place = random.Random(12), tmp_path / "case"
    for number in range(cases):
        shutil.copytree(whole, place)
        file = place / FILES[number % len(FILES)]
        before = file.read_bytes()
        if file.suffix == ".json" and number % 8:
            file.write_bytes(as_json(mutate_value(json.loads(before), rng)))
        else:
            file.write_bytes(mutate(before, rng))
        outcome(_read, place)
        shutil.rmtree(place)


@pytest.mark.parametrize("cases", [40, pytest.param(800, marks=pytest.mark.torture)])
def test_altered_tables_are_shown_whole_or_refused(tmp_path, whole, mutate_value, outcome, cases):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng, place = random.Random(13), tmp_path / "case"
    for number in range(cases):
        shutil.copytree(whole, place)
        file = place / FILES[1 + number % 3]
        table = pq.read_table(file)
        columns = table.to_pydict()
        name = rng.choice(list(columns))
        made = mutate_value({"values": columns[name]}, rng)
        values = made.get("values") if isinstance(made, dict) else None
        try:
            column = pa.array(values if isinstance(values, list) else [None] * len(table))
            place_of = table.column_names.index(name)
            pq.write_table(table.set_column(place_of, name, column), file)
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            columns.pop(name)
            pq.write_table(table.select(list(columns)), file)
        outcome(_read, place)
        shutil.rmtree(place)


SCRIPT = "</pre></script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def test_scripts_in_every_field_stay_text(tmp_path):
    pool = [
        {
            "prompt": f"{SCRIPT} {i}",
            "completion": f"{i} {SCRIPT}",
            "source": SCRIPT,
            "key": f"{SCRIPT}{i}",
        }
        for i in range(8)
    ]
    pool += [{**pool[0], "key": "copy"}]
    targets = [{"prompt": "what?", "completion": f"{SCRIPT} yes", "source": SCRIPT, "key": SCRIPT}]
    chosen = curate.select(
        pool, targets, 3, scorer="tfidf", duplicates="warn", leakage="warn",
        columns={"prompt": "prompt", "completion": "completion", "id": "key"},
    )  # fmt: skip
    directory = chosen.save(tmp_path / "saved")
    file = directory / "manifest.json"
    manifest = json.loads(file.read_text("utf-8"))
    manifest["chosen"]["scorer"] = manifest["inputs"]["pool"]["name"] = SCRIPT
    manifest["versions"][SCRIPT] = manifest["created"] = SCRIPT
    manifest["arguments"][SCRIPT] = manifest["inputs"]["targets"]["name"] = SCRIPT
    manifest["seconds"][SCRIPT] = 1.5
    file.write_text(json.dumps(manifest), "utf-8")
    page = report(directory).read_text("utf-8")
    assert "<img" not in page
    assert page.count("<script") == page.count("</script") == 1, "the page's own"
    assert "alert(1)" in page


def test_a_manifest_of_another_kind_is_refused_with_the_place(tmp_path, whole):
    place = shutil.copytree(whole, tmp_path / "case")
    manifest = json.loads((place / "manifest.json").read_text("utf-8"))
    for change, message in (
        ({"manifest_version": 99}, "newer than what this version"),
        (
            {"seconds": {"read": float("nan")}},
            r"\(seconds\.read: expected float >= 0\.0, found nan\)",
        ),
        ({"inputs": {"pool": 3}}, r"\(inputs\.pool: expected a mapping, found 3\)"),
        ({"inputs": {}}, r"\(inputs: expected the pool and the targets\)"),
        ({"chosen": {}}, r"\(chosen: 'fingerprint' is missing\)"),
        ({"chosen": None}, r"\(chosen: expected a mapping, found None\)"),
        ({"arguments": []}, r"\(arguments: expected a mapping, found \[\]\)"),
        ({"encoders": [1]}, r"\(encoders\[0\]: expected a mapping, found 1\)"),
        ({"encoders": None}, r"\(encoders: expected what read the rows"),
        ({"verb": "embed"}, r"\(verb: expected one of select, harmful, found 'embed'\)"),
        ({"created": "\ud800"}, r"\('utf-8' codec can't encode"),
        ({"manifest_version": True}, r"\(manifest_version: expected int, found True\)"),
        ({"versions": {"numpy": 2}}, r"\(versions\.numpy: expected str, found 2\)"),
    ):
        (place / "manifest.json").write_text(json.dumps(manifest | change), "utf-8")
        with pytest.raises(FileFormatError, match=f"{message}.*curate select --config"):
            report(place)


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path, whole, outcome, name):
    import os

    place = shutil.copytree(whole, tmp_path / "case")
    (place / name).unlink()
    os.mkfifo(place / name)
    assert isinstance(outcome(_read, place), CurateError)
