"""`curate.select`, from the user's rows to a training set on disk."""

import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, IterableDataset

import curate
from airrep.errors import ArgumentError, CurateError, OutputError, StoreError
from curate.demo_data import demo_pool, demo_targets
from curate.stages.choosing import memory_of
from selection import scorers
from selection.selectors import SELECTORS


@pytest.fixture(scope="module")
def pool():
    return demo_pool(240)


@pytest.fixture(scope="module")
def few(pool):
    """All of the pool's rows of the targets' task, and as many as take little time to encode."""
    return [row for i, row in enumerate(pool) if row["task"] == "dialogue_summary" or i % 6 == 0]


@pytest.fixture(scope="module")
def targets():
    return demo_targets("dialogue_summary", 4)


def _rows(chosen):
    return chosen.dataset["curate_row"][:]


@pytest.mark.parametrize("scorer", ["airrep", "tfidf", "bm25", "random"])
def test_every_scorer_selects(few, targets, encoder, scorer):
    chosen = curate.select(few, targets, 12, scorer=scorer, encoder=encoder)
    assert len(set(_rows(chosen))) == 12


@pytest.mark.parametrize("selector", SELECTORS)
def test_every_selector_selects_the_targets_task_more_often_than_chance(
    pool, few, targets, selector
):
    scorer, rows = ("airrep", few) if selector == "herding" else ("tfidf", pool)
    chosen = curate.select(rows, targets, 6, scorer=scorer, selector=selector)
    share = chosen.dataset["task"][:].count("dialogue_summary") / 6
    assert len(set(_rows(chosen))) == 6
    assert selector == "random" or share > 0.3


@pytest.mark.slow
def test_what_selects_is_the_scorers_own_unless_it_is_named(few, targets, encoder):
    herded = curate.select(few, targets, 9, encoder=encoder)
    assert herded.selection.method == "herding"
    assert herded.manifest.arguments["selector"] == "herding", "so that it can be repeated"
    named = curate.select(few, targets, 9, encoder=encoder, selector="herding")
    assert _rows(named) == _rows(herded)
    for given in ({"scale": 5.0}, {"scorer": "tfidf", "encoder": None}):
        chosen = curate.select(few, targets, 9, **{"encoder": encoder, **given})
        assert chosen.manifest.arguments["selector"] == chosen.selection.method == "layered_greedy"


def test_herding_is_refused_before_anything_is_scored(pool, targets, monkeypatch):
    monkeypatch.setattr(scorers.TfidfScorer, "score", lambda *_: pytest.fail("it was scored"))
    with pytest.raises(ArgumentError, match="scores by 'tfidf' have none"):
        curate.select(pool, targets, 9, scorer="tfidf", selector="herding")


@pytest.mark.slow
def test_herding_among_near_duplicates_of_which_the_best_stays(pool, targets, encoder):
    rows = pool[:30]
    twice = [*rows, *({**row, "id": f"copy {i}"} for i, row in enumerate(rows[:10]))]
    once = curate.select(rows, targets, 9, encoder=encoder, duplicates="best")
    chosen = curate.select(twice, targets, 9, encoder=encoder, duplicates="best")
    assert chosen.selection.method == "herding"
    assert [row["prompt"] for row in chosen.dataset] == [row["prompt"] for row in once.dataset]


@pytest.mark.slow
def test_the_same_rows_whatever_the_container(few, targets, encoder, tmp_path):
    file = tmp_path / "pool.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in few))
    containers = [
        few,
        str(file),
        Dataset.from_list(few),
        IterableDataset.from_generator(lambda: iter(few)),
        Dataset.from_list(few).to_pandas(),
    ]
    picks = [_rows(curate.select(c, targets, 20, encoder=encoder)) for c in containers]
    assert all(pick == picks[0] for pick in picks)


@pytest.mark.slow
@pytest.mark.isa
def test_the_same_rows_whatever_the_batch_size_and_the_store(few, targets, encoder, tmp_path):
    plain = curate.select(few, targets, 15, encoder=encoder)
    small = curate.select(few, targets, 15, encoder=encoder, tokens_per_batch=64)
    stored = curate.select(few, targets, 15, encoder=encoder, store=tmp_path / "s")
    again = curate.select(few, targets, 15, encoder=encoder, store=tmp_path / "s")
    for other in (small, stored, again):
        assert _rows(other) == _rows(plain)
        np.testing.assert_array_equal(other.selection.gains, plain.selection.gains)
    assert [each["encoded"] for each in stored.manifest.encoders] == [len(plain.insight.ids)]
    assert [each["encoded"] for each in again.manifest.encoders] == [0]


def test_rows_come_back_untouched_with_namespaced_columns(targets):
    pool = Dataset.from_list(
        [{"instruction": f"do {i}", "input": None, "output": f"done {i}", "meta": {"n": i}}
         for i in range(9)]
    )  # fmt: skip
    chosen = curate.select(pool, targets, 4, scorer="random")
    added = [
        f"curate_{c}" for c in ("rank", "row", "target", "score", "gain", "objective", "layer")
    ]
    assert chosen.dataset.column_names == [*pool.column_names, *added]
    for row in chosen.dataset:
        own = {name: value for name, value in row.items() if name not in added}
        assert own == pool[row["curate_row"]]
    assert chosen.dataset["curate_rank"][:] == [0, 1, 2, 3]


@pytest.mark.parametrize("selector", ["random", "round_robin"])
def test_a_selector_without_an_objective_claims_no_gains(pool, targets, tmp_path, selector):
    chosen = curate.select(pool, targets, 8, scorer="tfidf", selector=selector)
    chosen.save(tmp_path)
    chosen.save(tmp_path, format="jsonl")
    lines = (tmp_path / "selection.jsonl").read_text("utf-8").splitlines()
    for row in map(json.loads, lines):  # NaN would be no JSON
        assert (row["curate_gain"], row["curate_objective"]) == (None, None)
    table = pq.read_table(tmp_path / "selection.parquet")
    assert str(table.schema.field("curate_gain").type) == "double"
    assert chosen.manifest.chosen["objective"] is None


def test_the_dataset_says_what_the_selection_says(pool, targets):
    chosen = curate.select(pool, targets, 8, scorer="tfidf")
    picks = chosen.selection
    assert chosen.dataset["curate_gain"][:] == picks.gains.tolist()
    assert chosen.dataset["curate_objective"][:] == picks.objective.values.tolist()
    assert chosen.dataset["curate_score"][:] == picks.scores.tolist()
    assert chosen.dataset["curate_target"][:] == [str(x) for x in picks.targets.tolist()]
    assert _rows(chosen) == chosen.insight.rows[picks.indices].tolist()


def test_positions_count_the_users_rows_when_some_are_skipped(targets):
    pool = [{"text": ""}, *({"text": f"number {i} is here"} for i in range(5))]
    chosen = curate.select(pool, targets, 5, scorer="random", on_bad_row="skip")
    assert sorted(_rows(chosen)) == [1, 2, 3, 4, 5]
    assert "1 unreadable row skipped" in chosen.summary()
    assert len(chosen.manifest.inputs["pool"].skipped) == 1


def test_selecting_from_a_selection_replaces_its_columns(pool, targets):
    first = curate.select(pool, targets, 20, scorer="tfidf")
    second = curate.select(first.dataset, targets, 5, scorer="tfidf")
    assert second.dataset["curate_rank"][:] == list(range(5))
    assert second.dataset.column_names == first.dataset.column_names
    old = first.dataset.remove_columns("curate_objective")  # as earlier versions wrote it
    assert curate.select(old, targets, 5, scorer="tfidf").dataset["curate_rank"][:] == list(
        range(5)
    )


def test_columns_of_the_users_own_stay_or_are_refused_before_the_work(
    pool, targets, tmp_path, monkeypatch
):
    mine = [{**row, "curate_note": f"note {i}", "curate": i} for i, row in enumerate(pool)]
    chosen = curate.select(mine, targets, 5, scorer="tfidf", output=tmp_path / "out")
    written = pq.read_table(tmp_path / "out" / "selection.parquet").to_pylist()
    for row in (*chosen.dataset, *written):
        assert (row["curate_note"], row["curate"]) == (
            f"note {row['curate_row']}",
            row["curate_row"],
        )
    again = curate.select(chosen.dataset, targets, 2, scorer="tfidf")
    assert (
        again.dataset["curate_note"][0]
        == chosen.dataset["curate_note"][again.dataset[0]["curate_row"]]
    )
    monkeypatch.setattr(scorers.TfidfScorer, "score", lambda *_: pytest.fail("it was scored"))
    taken = [{**row, "curate_score": 1.0} for row in pool]
    with pytest.raises(
        ArgumentError, match=r"pool: the rows have the column 'curate_score'.*Rename"
    ):
        curate.select(taken, targets, 5, scorer="tfidf", output=tmp_path / "other")
    assert not (tmp_path / "other" / "manifest.json").exists()


TRL_LAYOUTS = {
    "alpaca": ({"instruction": "add", "input": "1 2", "output": "3"}, {"prompt", "completion"}),
    "question": ({"question": "add 1 2", "answer": "3"}, {"prompt", "completion"}),
    "text": ({"text": "one and two make three"}, {"text"}),
    "sharegpt": (
        {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]},
        {"messages"},
    ),
    "messages": (
        {
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "hello"},
            ]
        },
        {"messages"},
    ),
}


@pytest.mark.parametrize("layout", TRL_LAYOUTS)
def test_trl_gets_exactly_one_layout(layout, targets):
    row, columns = TRL_LAYOUTS[layout]
    pool = [{**row, "extra": str(i)} for i in range(3)]
    chosen = curate.select(pool, targets, 2, scorer="bm25", duplicates="off")
    assert set(chosen.to_trl().column_names) == columns


def test_a_sharegpt_row_becomes_messages_with_trls_roles(targets):
    chosen = curate.select([TRL_LAYOUTS["sharegpt"][0]], targets, 1, scorer="bm25")
    assert chosen.to_trl()[0]["messages"] == TRL_LAYOUTS["messages"][0]["messages"]


def test_mixed_layouts_are_refused_before_anything_is_scored(targets):
    class Scorer:
        name = "mine"

        def score(self, *_):
            pytest.fail("scored")

    pool = [{"text": "plain text here"}, {"question": "how?", "answer": "so"}]
    with pytest.raises(ArgumentError, match=r"text \(first in pool, row 0\) and prompt\+comp"):
        curate.select(pool, targets, 2, scorer=Scorer())


def test_columns_settle_what_is_what(targets):
    pool = [{"q": f"question {i}", "a": f"answer {i}", "id": i, "set": "s"} for i in range(4)]
    columns = {"prompt": "q", "completion": "a", "id": "id", "source": "set"}
    chosen = curate.select(pool, targets, 2, scorer="random", columns=columns, target_columns={})
    assert chosen.insight.ids == ["0", "1", "2", "3"]
    assert set(chosen.insight.sources) == {"s"}
    assert chosen.to_trl()[0]["prompt"].startswith("question")


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_saved_files_hold_what_the_result_holds(pool, targets, tmp_path, format):
    chosen = curate.select(pool, targets, 7, scorer="tfidf", output=tmp_path / "out", format=format)
    files = {file.name for file in (tmp_path / "out").iterdir()}
    written = {f"train.{format}", f"selection.{format}", "removed.jsonl", "manifest.json"}
    assert files == {*written, "insight", ".lock", ".files.json"}

    def load(name):
        file = tmp_path / "out" / f"{name}.{format}"
        if format == "parquet":
            return pq.read_table(file).to_pylist()
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()]

    assert load("train") == chosen.to_trl().to_list()
    assert load("selection") == chosen.dataset.to_list()


def test_the_manifest_names_inputs_versions_and_times(few, targets, encoder, tmp_path):
    curate.select(few, targets, 5, encoder=encoder, output=tmp_path, weights=[1, 1, 2, 0])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["inputs"]["pool"]["rows"] == len(few)
    assert [each["fingerprint"] for each in manifest["encoders"]] == [encoder.fingerprint]
    assert manifest["arguments"]["weights"] == [1, 1, 2, 0]
    assert "pool" not in manifest["arguments"], "rows from memory cannot be replayed by name"
    assert {"read", "score", "select"} <= set(manifest["seconds"])
    assert "torch" in manifest["versions"]


def test_weights_move_the_selection(pool):
    targets = [*demo_targets("recipe_steps", 3), *demo_targets("unit_conversion", 3)]
    first = curate.select(pool, targets, 10, scorer="tfidf", weights=[1, 1, 1, 0, 0, 0])
    assert set(first.selection.targets.tolist()) <= {0, 1, 2}


def test_a_selection_from_a_shortlist_says_so(pool, targets, monkeypatch):
    monkeypatch.setattr("curate.stages.choosing.fits", lambda *_: False)
    chosen = curate.select(pool, targets, 5, scorer="tfidf", selector="coverage")
    assert chosen.selection.shortlist <= 5 * len(targets)
    assert "from a shortlist of" in chosen.summary()
    best = curate.select(pool, targets, 5, scorer="tfidf", selector="top_k_max")
    assert best.selection.shortlist is None


def test_where_the_scores_do_not_fit_the_default_selector_certifies_its_result(
    pool, targets, monkeypatch, tmp_path
):
    whole = curate.select(pool, targets, 5, scorer="tfidf")
    assert whole.manifest.chosen["certificate"] is None
    monkeypatch.setattr("curate.stages.choosing.fits", lambda *_: False)
    chosen = curate.select(pool, targets, 5, scorer="tfidf", output=tmp_path / "out")
    assert chosen.selection.indices.tolist() == whole.selection.indices.tolist()
    assert chosen.selection.shortlist is None
    certificate = json.loads((tmp_path / "out" / "manifest.json").read_text())["chosen"][
        "certificate"
    ]
    assert certificate["certified"]
    assert certificate["rows"] == len(pool) - len(chosen.guard.removed)
    assert "certified: equal to the greedy over the whole pool" in chosen.summary()


@pytest.mark.parametrize("selector", ["herding", "plain_greedy", "layered_greedy", "top_k_max"])
def test_k_auto_is_the_size_where_the_objective_is_best(few, targets, encoder, selector):
    scored = {"encoder": encoder} if selector == "herding" else {"scorer": "tfidf"}
    given = {**scored, "selector": selector}
    chosen = curate.select(few, targets, "auto", **given)
    assert 1 <= len(chosen) <= len(chosen.insight.ids)
    same = curate.select(few, targets, len(chosen), **given)
    assert _rows(chosen) == _rows(same)
    assert chosen.selection.best_size == len(chosen)
    assert chosen.manifest.arguments["k"] == "auto"
    if selector == "herding":
        whole = curate.select(few, targets, len(chosen.insight.ids), **given)
        assert len(chosen) == np.argmin(whole.selection.objective.values) + 1


def test_k_auto_is_refused_before_anything_is_scored(few, targets, monkeypatch):
    monkeypatch.setattr("selection.scorers.TfidfScorer.score", None)
    for selector in ("random", "round_robin"):
        with pytest.raises(ArgumentError, match=f"k = 'auto': selector '{selector}' has no obj"):
            curate.select(few, targets, "auto", scorer="tfidf", selector=selector)
    with pytest.raises(ArgumentError, match="k = 'auto' and constraints do not go together"):
        curate.select(few, targets, "auto", scorer="tfidf", constraints={"max_tokens": 900})
    with pytest.raises(ArgumentError, match="k should be an integer, found 'all'"):
        curate.select(few, targets, "all", scorer="tfidf")


def test_k_auto_where_the_scores_do_not_fit(pool, targets, monkeypatch):
    whole = curate.select(pool, targets, "auto", scorer="tfidf")
    monkeypatch.setattr("curate.stages.choosing.fits", lambda *_: False)
    for first in (1, 256):
        monkeypatch.setattr("curate.stages.choosing._FIRST_LAYER", first)
        chosen = curate.select(pool, targets, "auto", scorer="tfidf")
        assert _rows(chosen) == _rows(whole)
        assert chosen.selection.certificate.certified
        np.testing.assert_array_equal(chosen.selection.gains, whole.selection.gains)
    with pytest.raises(ArgumentError, match=r"memory_limit: k = 'auto' of coverage needs all"):
        curate.select(pool, targets, "auto", scorer="tfidf", selector="coverage")


@pytest.mark.parametrize(
    ("limit", "size"),
    [
        ("4GB", 4 * 10**9),
        ("512 MiB", 512 << 20),
        ("1.5gib", 3 << 29),
        (1000, 1000),
        (None, 4 << 30),
    ],
)
def test_a_memory_limit_is_a_size(limit, size):
    assert memory_of(limit) == size


@pytest.mark.parametrize("limit", ["4 bananas", "", 0, -1, "-1GB", True, "0.1", [4]])
def test_a_memory_limit_that_is_none_is_refused(pool, targets, limit):
    with pytest.raises(ArgumentError, match=r"memory_limit should be a number of bytes.*found"):
        curate.select(pool, targets, 5, scorer="tfidf", memory_limit=limit)


def test_a_memory_limit_that_holds_no_candidates_is_refused(pool, targets):
    for selector in ("coverage", "layered_greedy"):
        with pytest.raises(ArgumentError, match=r"memory_limit: .*Raise it, lower k"):
            curate.select(pool, targets, 5, scorer="tfidf", selector=selector, memory_limit=64)


BAD_CALLS = {
    "k zero": ({"k": 0}, "k should be at least 1"),
    "k negative": ({"k": -3}, "k should be at least 1"),
    "k above pool": ({"k": 241}, r"k = 241 is larger than the pool of 240 rows"),
    "k fraction": ({"k": 1.5}, "k should be an integer"),
    "scorer": ({"scorer": "magic"}, "scorer 'magic' is unknown; choose from airrep"),
    "selector": ({"selector": "magic"}, "selector 'magic' is unknown; choose from layered"),
    "scale": ({"scale": -1.0}, "scale should be a finite number > 0"),
    "weights": ({"weights": [1, 2]}, r"expected one per target \(4\)"),
    "format": ({"format": "xml"}, "format 'xml' is unknown"),
    "on_bad_row": ({"on_bad_row": "ignore"}, "on_bad_row 'ignore' is unknown"),
    "columns": ({"columns": {"chosen": "prompt"}}, "do not describe one record"),
    "empty pool": ({"pool": []}, "pool: pool holds no rows"),
    "empty targets": ({"targets": []}, "targets: targets holds no rows"),
    "encoder": ({"encoder": "./nowhere"}, "not a directory"),
    "tokens": ({"tokens_per_batch": 0}, "tokens_per_batch should be >= 1"),
    "tokens text": ({"tokens_per_batch": "x"}, "tokens_per_batch should be a whole number, found"),
    "k text": ({"k": "100"}, "k should be an integer, found '100'"),
    "scale text": ({"scale": "1"}, "scale should be a finite number > 0, found '1'"),
    "weights text": ({"weights": ["a"] * 4}, "weights: expected numbers, found 'a' at position 0"),
    "weights no list": ({"weights": 3}, r"weights: expected one per target \(4\)"),
    "memory fraction": ({"memory_limit": 1.5}, "memory_limit should be a number of bytes"),
    "encoder array": ({"encoder": np.eye(3)}, "encoder: embeddings of your own are a pair of"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_calls_get_one_clear_message_and_write_nothing(pool, targets, tmp_path, case):
    change, message = BAD_CALLS[case]
    call = {"pool": pool, "targets": targets, "k": 5, "output": tmp_path / "out", **change}
    if "scorer" not in change and not case.startswith(("encoder", "tokens")):
        call["scorer"] = "tfidf"
    with pytest.raises(CurateError, match=message):
        curate.select(**call)
    assert not list((tmp_path / "out").rglob("*.parquet"))
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_an_output_that_cannot_be_written_is_found_before_the_work(pool, targets, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        curate.select(pool, targets, 5, output=tmp_path / "file" / "out", encoder="./not-reached")


def test_a_full_disk_leaves_no_half_written_file(pool, targets, tmp_path, monkeypatch):
    write = pq.write_table

    def full(table, file):
        if isinstance(file, io.BytesIO):  # what can be written is tried
            return write(table, file)
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("curate.writing.row_files.pq.write_table", full)
    with pytest.raises(OutputError, match="No space left"):
        curate.select(pool, targets, 5, scorer="tfidf", output=tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {".lock", ".files.json"}


def test_a_store_of_another_model_is_refused(pool, targets, encoder, tmp_path):
    curate.embed(pool[:3], tmp_path / "s", encoder=encoder)
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    manifest["encoder"] = "0" * 32
    (tmp_path / "s" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="made by another model"):
        curate.select(pool, targets, 5, encoder=encoder, store=tmp_path / "s")


class _BrokenEncoder:
    def encode(self, texts):
        embeddings = np.ones((len(texts), 4), dtype=np.float32)
        embeddings[-1, 2] = np.nan
        return embeddings


def test_an_encoder_that_returns_nan_is_named_with_the_row(pool, targets):
    with pytest.raises(CurateError, match=r"target row 3 .* NaN"):
        curate.select(pool, targets, 5, encoder=_BrokenEncoder())


class _LengthEncoder:
    """Another library's encoder: no fingerprint, no template, its own idea of similarity."""

    def encode(self, texts):
        return np.array([[len(text) / 100, 1.0] for text in texts], dtype=np.float32)


def test_any_encoder_with_encode_can_score(pool, targets):
    chosen = curate.select(pool, targets, 5, encoder=_LengthEncoder(), selector="top_k_mean")
    assert chosen.manifest.chosen["scorer"] == "_LengthEncoder"


def test_the_summary_tells_what_was_read_chosen_and_how_long_it_took(pool, targets):
    text = curate.select(pool, targets, 6, scorer="tfidf").summary()
    for part in ("240 rows", "4 rows", "6 rows by layered_greedy on tfidf", "dialogue_summary",
                 "target", "time    read"):  # fmt: skip
        assert part in text


def test_the_summary_tells_where_the_objective_is_best(pool, targets):
    chosen = curate.select(pool, targets, 30, scorer="tfidf", selector="plain_greedy")
    n = chosen.selection.best_size
    assert 1 <= n < 30
    assert f"group influence largest at {n} row" in chosen.summary()
    assert chosen.manifest.chosen["best_size"] == n
    assert chosen.manifest.chosen["objective"]["name"] == "group influence"


def test_embed_counts_what_it_reused(pool, encoder, tmp_path):
    first = curate.embed(pool[:20], tmp_path / "s", encoder=encoder)
    second = curate.embed(pool[:30], tmp_path / "s", encoder=encoder)
    assert (first.encoded, first.reused) == (20, 0)
    assert (second.encoded, second.reused) == (10, 20)
    with pytest.raises(ArgumentError, match="needs an AirRep encoder"):
        curate.embed(pool, tmp_path / "t", encoder=_LengthEncoder())
