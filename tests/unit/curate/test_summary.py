"""The summary in words: a count agrees with what it counts."""

import re

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
    chosen = curate.select(pool, demo_targets("email_reply", 1), 13, scorer="tfidf")
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
