"""What an encoder learns from, and what is held out before anything is drawn."""

from dataclasses import replace

import pytest

from airrep.errors import ArgumentError
from airrep.records import Example
from eval_harness.benchmark.attribution import Attribution
from eval_harness.encoder_training.config import EncoderTrainingConfig
from eval_harness.encoder_training.rows import draw_all, share_out_rows, used_subsets
from eval_harness.files.settings import read_settings
from eval_harness.runs.splits import draw_splits

SMALL = {"subsets": 4, "validation_subsets": 3, "size": 5, "targets": 5, "validation": 5}
SUPERVISION = {"splits": 2, "size": 6, "uniform": 3, "few_sources": 2, "selected": 1}


def _rows(name, count, sources=2):
    return [
        Example(str(i), f"{name} {i}: which?", f"answer {i % 7}", f"s{i % sources}", i)
        for i in range(count)
    ]


def _config(seed=0, share=0.25, supervision=SUPERVISION, **attribution):
    values = {
        "model": "lm", "pool": "p", "targets": "t", "seed": seed, "supervision": supervision,
        "evaluation": {"share": share, "attribution": {**SMALL, **attribution}},
    }  # fmt: skip
    return read_settings(EncoderTrainingConfig, values)


def _files(*names, pool=80, targets=40):
    counts = {"pool": pool, "targets": targets}
    return {name: _rows(name, counts.get(name, 12)) for name in ("pool", "targets", *names)}


def test_shares_are_held_out():
    files = _files()
    rows = share_out_rows(files, _config())
    assert [len(part) for part in (rows.pool, rows.held_out)] == [60, 20]
    assert [len(part) for part in (rows.targets, rows.validation, rows.test)] == [30, 5, 5]
    of_pool = [e.row for part in (rows.pool, rows.held_out) for e in part]
    of_targets = [e.row for part in (rows.targets, rows.validation, rows.test) for e in part]
    assert sorted(of_pool) == list(range(80))
    assert sorted(of_targets) == list(range(40))
    assert share_out_rows(files, _config()) != share_out_rows(files, _config(seed=1))


def test_files_of_their_own_leave_pool_and_targets_whole():
    files = _files("evaluation.pool", "evaluation.targets", "evaluation.test")
    rows = share_out_rows(files, _config())
    assert [rows.pool, rows.targets, rows.held_out, rows.validation, rows.test] == [
        files[name] for name in files
    ]


def test_the_one_that_has_no_file_gets_the_whole_share():
    rows = share_out_rows(_files("evaluation.test"), _config())
    assert [len(part) for part in (rows.targets, rows.validation, rows.test)] == [30, 10, 12]


def test_with_files_the_draws_are_those_of_the_calls_they_are_named_after(tmp_path):
    files = _files("evaluation.pool", "evaluation.targets", "evaluation.test")
    config = _config(seed=3)
    splits, evaluation = draw_all(share_out_rows(files, config), config, tmp_path)
    expected = draw_splits(files["pool"], files["targets"], config.supervision, 3)
    assert [split.plan.fingerprint for split in splits] == [
        split.plan.fingerprint for split in expected
    ]
    alone = Attribution.draw(
        config.evaluation.attribution, files["evaluation.pool"], files["evaluation.targets"],
        files["evaluation.test"], tmp_path, 3,
    )  # fmt: skip
    assert evaluation.plan.fingerprint == alone.plan.fingerprint
    assert evaluation.evaluation == alone.evaluation
    assert evaluation.directory == tmp_path


def test_nothing_that_is_learned_from_is_tested_on(tmp_path):
    config = _config()
    splits, evaluation = draw_all(share_out_rows(_files(), config), config, tmp_path)
    learned = {e.prompt for split in splits for e in (*split.pool, *split.evaluation)}
    tested = {e.prompt for e in (*evaluation.pool, *evaluation.evaluation)}
    assert len(learned) == 90
    assert len(tested) == 20 + 5 + 5
    assert not learned & tested


def test_kinds_that_are_used():
    (split, _), _ = draw_all(share_out_rows(_files(), _config()), _config(), None)
    assert used_subsets(split.plan, None) == [0, 1, 2, 3, 4, 5]
    assert used_subsets(split.plan, ["selected", "uniform"]) == [0, 1, 2, 5]


def test_a_row_in_two_files_is_refused():
    files = _files("evaluation.test")
    files["evaluation.test"].append(files["targets"][3])
    with pytest.raises(ArgumentError, match=r"evaluation\.test row 3 .* is also targets row 3"):
        share_out_rows(files, _config())


@pytest.mark.parametrize(
    ("given", "attribution", "message"),
    [
        ([], {"size": 21}, r"attribution\.size is 21, but 20 rows are held out of the 80 of pool "
                           r"\(evaluation\.share 0\.25\); .* name a file as evaluation\.pool"),
        ([], {"targets": 6}, r"attribution\.targets is 6, but 5 rows are held out of the 40 of "
                             r"targets .* evaluation\.test"),
        ([], {"validation": 6}, r"attribution\.validation is 6, but 5 rows .* evaluation\.targets"),
        (["evaluation.test"], {"targets": 13}, r"is 13, but evaluation\.test has 12 rows; ask for"),
        (["evaluation.pool"], {"size": 13}, r"size is 13, but evaluation\.pool has 12 rows"),
    ],
)  # fmt: skip
def test_too_few_rows_for_the_evaluation(given, attribution, message):
    with pytest.raises(ArgumentError, match=message):
        share_out_rows(_files(*given), _config(**attribution))


def test_too_few_rows_for_the_splits(tmp_path):
    config = _config(supervision={"splits": 11, "size": 6})
    with pytest.raises(ArgumentError, match="11 splits of 60 pool rows and 30 examples"):
        draw_all(share_out_rows(_files(), config), config, tmp_path)


def test_few_sources_need_sources(tmp_path):
    files = {name: _rows(name, 80, sources=1) for name in ("pool", "targets")}
    with pytest.raises(ArgumentError, match=r"few_sources needs pool rows of at least 2 sources"):
        draw_all(share_out_rows(files, _config()), _config(), tmp_path)


def test_a_source_share_needs_sources(tmp_path):
    config = _config()
    shared = replace(config, training=replace(config.training, source_share=0.5))
    rows = share_out_rows(_files(), shared)
    draw_all(rows, shared, tmp_path)
    nameless = replace(rows, targets=[replace(e, source="") for e in rows.targets])
    with pytest.raises(ArgumentError, match="source_share needs targets that say what source"):
        draw_all(nameless, shared, tmp_path)
    draw_all(nameless, config, tmp_path)
