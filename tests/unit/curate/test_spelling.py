"""Command lines as people type them become the one form that the parser knows."""

import pytest

from airrep.errors import ArgumentError
from curate.spelling import Options, spelled

OPTIONS = Options(["k", "on_bad_row", "progress", "output", "pool", "columns", "scorer"],
                  ["progress"], ["overwrite"])  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "known"),
    [
        ("-k 5 --on-bad-row skip", "--k 5 --on_bad_row skip"),
        ("-k=5 -q", "--k=5 --progress=false"),
        ("--pool -q -o x --overwrite", "--pool -q --output x --overwrite"),
        ("--progress true --pool a", "--progress true --pool a"),
        ("--progress --pool a", "--progress=true --pool a"),
        ("--no-progress", "--progress=false"),
        ("--columns.on-bad x --columns.b=y", "--columns.on-bad x --columns.b=y"),
        ("--scorer+ a --scorer+ b", "--scorer+ a --scorer+ b"),
        ("chosen 12 -1.5 -- --k", "chosen 12 -1.5 -- --k"),
        ("--config a --config b -V", "--config a --config b --version"),
        ("--pool", "--pool"),
    ],
)
def test_one_form_of_every_option(typed, known):
    assert spelled(typed.split(), OPTIONS) == known.split()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("-x", "^-x is unknown; --help lists all$"),
        ("--zork 1", "^--zork is unknown; --help lists all$"),
        (
            "--on-bad-rwo skip",
            r"^--on_bad_rwo is unknown; did you mean --on_bad_row\?; --help lists all$",
        ),
        ("--pool a --pool=b", "^--pool is given more than once and takes one value"),
        ("--columns.a b --columns.a c", r"^--columns.a is given more than once"),
    ],
)
def test_what_cannot_be_meant_is_named(typed, message):
    with pytest.raises(ArgumentError, match=message):
        spelled(typed.split(), OPTIONS)
