"""The summary in words: a count agrees with what it counts."""

import re

import pytest

import curate
from curate.demo_data import demo_targets

ONE = re.compile(r"(?<![\d,.])1 (?:more |chosen |unreadable |pool |evaluation )?(\w+)s\b")


def _rows(sources, each=1):
    return [
        {"prompt": f"Say {name} {i}.", "completion": f"{name} {i}", "source": name}
        for name in sources
        for i in range(each)
    ]


def test_one_of_anything_is_not_called_several():
    pool = _rows([f"source-{i}" for i in range(13)])
    chosen = curate.select(pool, [{"prompt": "Source 3?", "completion": "3"}], 13, scorer="tfidf")
    said = chosen.summary()
    assert "… and 1 more source with 1 chosen row" in said
    assert re.search(r"read    targets +1 row from targets", said)
    assert "removed pool             0 rows; found 0 leaks, 0 near-duplicates" in said
    assert not ONE.search(said), ONE.search(said)


def test_the_guards_findings_agree_with_their_numbers():
    pool = [*_rows(["a", "b"], 3), _rows(["a"])[0], *demo_targets("email_reply", 1)]
    found = str(curate.check(pool, demo_targets("email_reply", 1)))
    assert "1 leak, only reported" in found
    assert not ONE.search(found), ONE.search(found)
    for name in ("row 7 holds 100% of targets 0: “",):
        assert name in found


def test_it_says_how_much_the_encoder_does_not_know():
    pool = [*_rows(["a"], 18), *({"prompt": f"ฝนตกหนัก {i}", "completion": "ใช่"} for i in range(3))]
    targets = demo_targets("email_reply", 1)
    with pytest.warns(UserWarning, match="of the tokens of the pool are unknown"):
        chosen = curate.select(pool, targets, 2, leakage="off", duplicates="off")
    (facts,) = chosen.manifest.encoders
    assert facts["unknown"] == {"pool": pytest.approx(0.06, abs=0.03), "targets": 0.0}
    said = chosen.summary()
    assert f"unknown tokens: pool {facts['unknown']['pool']:.1%}, targets 0.0%" in said
    assert 'The encoder reads such texts badly. Better: scorer="tfidf" or "bm25"' in said


def test_where_all_is_known_nothing_is_said_of_it():
    chosen = curate.select(_rows(["a", "b"], 3), demo_targets("email_reply", 1), 2)
    assert chosen.manifest.encoders[0]["unknown"] == {"pool": 0.0, "targets": 0.0}
    assert "unknown" not in chosen.summary()
    assert "the same score" not in chosen.summary()


def test_a_target_whose_scores_are_all_alike_is_named(tmp_path):
    targets = [{"prompt": "Say a 1", "completion": "a 1"}, {"prompt": "天气", "completion": "好"}]
    with pytest.warns(UserWarning, match=r"1 of 2 targets .*\('1'\)"):
        chosen = curate.select(_rows(["a", "b"], 9), targets, 2, scorer="tfidf", leakage="off")
    line = "every row has the same score for 1 of 2 targets: 1"
    assert line in chosen.summary().splitlines()
    chosen.save(tmp_path / "saved")
    assert line in curate.TrainingSet.load(tmp_path / "saved").summary().splitlines()
