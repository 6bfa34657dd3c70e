"""`lds --benchmark`: the files of AirRep's authors, by directory or from the hub."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

import curate
from airrep.errors import ArgumentError, FileFormatError, MissingInputError
from airrep.records import normalize
from curate import cli
from curate.demo_data import demo_pool
from selection.scorers import TfidfScorer

POOL = [{"inputs": r["prompt"], "targets": r["completion"]} for r in demo_pool(30)]
TEST = [{"input": r["prompt"], "output": r["completion"]} for r in demo_pool(7, seed=5)]
S, SIZE = 9, 6


def _write(file, rows):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _lines():
    rng = np.random.default_rng(0)
    return [
        {
            "train_subset": rng.choice(len(POOL), SIZE, replace=False).tolist(),
            "test_loss": rng.normal(2, 1, len(TEST)).tolist(),
        }
        for _ in range(S)
    ]


def _benchmark(folder, pool=POOL, test=TEST, lines=None):
    _write(folder / "train.jsonl", pool)
    _write(folder / "test.jsonl", test)
    _write(folder / "lds.jsonl", lines or _lines())
    return folder


@pytest.fixture
def flan(tmp_path):
    return _benchmark(tmp_path / "flan")


def _by_hand(scores, lines, scale, signed):
    """As their evaluation script defines it, but for NaN, of which there is none here."""
    found = []
    for target, mine in enumerate(np.asarray(scores, dtype=np.float64)):
        predicted = []
        for line in lines:
            s = mine[line["train_subset"]]
            weights = np.exp(scale * (s if signed else np.abs(s)))
            predicted.append((weights * s).sum() / weights.sum())
        loss = [line["test_loss"][target] for line in lines]
        found.append(spearmanr(predicted, [-each for each in loss]).statistic)
    return np.mean(found)


@pytest.mark.parametrize(("pooling", "signed"), [("attention", False), ("signed_attention", True)])
@pytest.mark.parametrize("scale", [1.0, 7.0])
def test_lds_by_hand(flan, pooling, signed, scale):
    scores = np.random.default_rng(1).normal(size=(len(TEST), len(POOL)))
    found = curate.lds(benchmark=flan, scores=scores, pooling=pooling, scale=scale, draws=0)
    assert found.mean == pytest.approx(_by_hand(scores, _lines(), scale, signed), abs=1e-12)
    other = _by_hand(scores, _lines(), scale, not signed)
    assert found.mean != pytest.approx(other, abs=1e-6), "the signs matter here"
    assert (found.subsets, len(found.per_target), found.pooling) == (S, len(TEST), pooling)
    assert (found.cost, found.ceiling) == (None, None)


def test_lds_of_a_scorer_by_hand(flan):
    pool, test = ([normalize(row, index=i) for i, row in enumerate(r)] for r in (POOL, TEST))
    scores = TfidfScorer().score(test, pool)
    expected = _by_hand(scores.values(), _lines(), scores.scale, signed=False)
    found = curate.lds(benchmark=flan, scorer="tfidf", draws=0)
    assert found.mean == pytest.approx(expected, abs=1e-9)
    assert (found.cost.rows, found.cost.bytes_per_row) == (len(POOL) + len(TEST), None)
    assert found.cost.seconds > 0
    assert str(found).endswith(" ms a row)")


def test_an_encoder_of_a_published_benchmark_in_one_command(flan, capsys):
    words = ["lds", "--benchmark", str(flan), "--draws", "20", "--quiet"]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert out.startswith("airrep: LDS ")
    assert f" over {S} subsets × {len(TEST)} targets (" in out
    assert " bytes a row)" in out
    assert cli.main([*words, "--json"]) == 0
    cost = json.loads(capsys.readouterr().out)["cost"]
    assert cost["rows"] == len(POOL) + len(TEST)


def test_rows_that_cannot_be_read_are_left_out_of_subsets_and_losses(tmp_path):
    lines = _lines()
    bad_row, bad_test = lines[0]["train_subset"][0], 2
    pool = [{**row, "targets": ""} if i == bad_row else row for i, row in enumerate(POOL)]
    test = [{**row, "output": None} if i == bad_test else row for i, row in enumerate(TEST)]
    folder = _benchmark(tmp_path / "flan", pool, test)
    with pytest.raises(ValueError, match=rf"train\.jsonl, row {bad_row} .*'targets' is empty"):
        curate.lds(benchmark=folder, scorer="tfidf")
    scores = np.random.default_rng(1).normal(size=(len(TEST), len(POOL)))
    for line in lines:
        line["train_subset"] = [i for i in line["train_subset"] if i != bad_row]
        del line["test_loss"][bad_test]
    usable = np.delete(scores, bad_test, axis=0)
    expected = _by_hand(usable, lines, 1.0, signed=False)
    usable = np.delete(usable, bad_row, axis=1)
    found = curate.lds(benchmark=folder, scores=usable, on_bad_row="skip", draws=0)
    assert found.mean == pytest.approx(expected, abs=1e-12)


def test_columns_say_what_is_what(tmp_path):
    pool = [{"ask": row["inputs"], "say": row["targets"]} for row in POOL]
    folder = _benchmark(tmp_path / "flan", pool)
    columns = {"prompt": "ask", "completion": "say"}
    found = curate.lds(
        benchmark=folder, scorer="tfidf", columns=columns, evaluation_columns={}, draws=0
    )
    assert found.mean == curate.lds(benchmark=_benchmark(tmp_path / "b"), scorer="tfidf").mean


WRONG = {
    "beyond the rows": ({"train_subset": [0, 30]}, "holds row 30; there are 30 rows, 0 to 29"),
    "below 0": ({"train_subset": [-1, 3]}, "train_subset holds row -1"),
    "twice": ({"train_subset": [4, 3, 4]}, "train_subset holds row 4 more than once"),
    "no numbers": ({"train_subset": ["4"]}, "expected a list of row numbers, found values of"),
    "fractions": ({"train_subset": [0.5]}, "expected a list of row numbers"),
    "empty": ({"train_subset": []}, "train_subset: expected a list of row numbers, found"),
    "nested": ({"train_subset": [[1], [2, 3]]}, "train_subset: expected a list of row numbers"),
    "a loss short": ({"test_loss": [1.0] * 6}, "test_loss has 6 numbers, expected one for each of"),
    "NaN": ({"test_loss": [1.0, float("nan"), *[1.0] * 5]}, "test_loss is nan at position 1"),
    "infinite": ({"test_loss": [1.0] * 6 + [float("inf")]}, "test_loss is inf at position 6"),
    "null": ({"test_loss": [1.0] * 6 + [None]}, "test_loss: expected a list of losses"),
    "text": ({"test_loss": "1"}, "test_loss: expected a list of losses, found '1'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_line_that_cannot_be_right_is_named(tmp_path, case):
    change, message = WRONG[case]
    lines = _lines()
    lines[3] |= change
    folder = _benchmark(tmp_path / "flan", lines=lines)
    with pytest.raises(FileFormatError) as raised:
        curate.lds(benchmark=folder, scorer="tfidf")
    assert f"{folder / 'lds.jsonl'}, line 4: " in str(raised.value)
    assert message in str(raised.value)


def test_files_that_are_no_benchmark(flan):
    def refused(kind, message):
        with pytest.raises(kind, match=message):
            curate.lds(benchmark=flan, scorer="tfidf")

    file = flan / "lds.jsonl"
    file.write_text('{"train_subset": [1]}\n')
    refused(FileFormatError, r"line 1: the field 'test_loss' is missing; found 'train_subset'")
    file.write_text("[1]\n")
    refused(FileFormatError, r"line 1: expected a JSON object, found list")
    file.write_text('{"train\n')
    refused(FileFormatError, r"line 1: not valid JSON")
    file.write_text("\n")
    refused(FileFormatError, r"expected a subset on each line, found none")
    file.unlink()
    refused(MissingInputError, r"holds no lds\.jsonl; expected train\.jsonl, test\.jsonl and lds")


def test_what_a_benchmark_is_not_given_with(flan, capsys):
    with pytest.raises(ArgumentError, match="benchmark has runs, pool and evaluation of its own"):
        curate.lds("runs", benchmark=flan)
    with pytest.raises(ArgumentError, match=r"scorer 'gradient' needs the language model"):
        curate.lds(benchmark=flan, scorer="gradient")
    with pytest.raises(ArgumentError, match="does not look at the language model"):
        curate.lds(benchmark=flan, scorer="tfidf", model="lm")
    assert cli.main(["lds", "--runs", "runs"]) == 1
    assert "expected runs, pool and evaluation (--runs, --pool, " in capsys.readouterr().err


def test_scorers_by_a_language_model_are_given_it(flan, tiny_lm):
    found = curate.lds(benchmark=flan, scorer="rds", model=tiny_lm, draws=0)
    assert -1 <= found.mean <= 1
    assert found.cost.bytes_per_row == 32 * 4


# --- from the hub ---


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The hub, of which a snapshot is put where its cache would have it; returns the calls."""
    calls = []

    def download(name, *, repo_type, allow_patterns):
        calls.append((name, repo_type, allow_patterns))
        root = tmp_path / "cache" / "snapshots" / "0123abc"
        _benchmark(root / Path(allow_patterns[0]).parent)
        return str(root)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    return calls


@pytest.mark.parametrize("folder", ["/flan", "/sets/flan", "", "/flan/"])
def test_a_benchmark_from_the_hub(hub, tmp_path, folder):
    expected = curate.lds(benchmark=_benchmark(tmp_path / "here"), scorer="tfidf", draws=0)
    found = curate.lds(benchmark=f"sunweiwei/airrep-test{folder}", scorer="tfidf", draws=0)
    assert found.mean == expected.mean
    inside = f"{folder.strip('/')}/".lstrip("/")
    files = [f"{inside}{name}.jsonl" for name in ("train", "test", "lds")]
    assert hub == [("sunweiwei/airrep-test", "dataset", files)]


def test_a_folder_that_is_not_on_the_hub(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(tmp_path))
    with pytest.raises(MissingInputError, match=r"'owner/name/no' holds no train\.jsonl"):
        curate.lds(benchmark="owner/name/no")

    def unreachable(*_, **__):
        raise ConnectionError("no route\nto the hub")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    assert cli.main(["lds", "--benchmark", "owner/name/flan"]) == 1
    shown = capsys.readouterr().err
    assert "the data set 'owner/name' could not be downloaded from the hub (Conn" in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize("name", ["flan", "./flan", "a/../b", "/a/b/c", "owner/name/../x", "a b/c"])
def test_names_that_are_neither(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(MissingInputError, match="is not a directory, nor named as one on the hub"):
        curate.lds(benchmark=name)
