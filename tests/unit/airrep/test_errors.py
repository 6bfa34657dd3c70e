"""The one error family."""

from __future__ import annotations

import builtins
import copy
import inspect
import multiprocessing
import pickle
import re
from pathlib import Path

import pytest

from airrep import errors
from airrep.errors import CurateError

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c is not CurateError]


def drawn_tree() -> dict[str, str]:
    """Class name to builtin, as the module's docstring draws them."""
    return dict(re.findall(r"[├└]── (\w+) \((\w+)\)", errors.__doc__))


def test_the_drawn_tree_is_the_real_one():
    assert sorted(drawn_tree()) == sorted(c.__name__ for c in CLASSES)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)
def test_each_error_is_of_the_family_and_the_builtin_that_is_drawn(kind):
    assert kind.__bases__ == (CurateError, getattr(builtins, drawn_tree()[kind.__name__]))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)
def test_each_error_shows_its_message_as_it_is(kind):
    assert str(kind("what, where, and what to do")) == "what, where, and what to do"


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)
def test_each_error_says_when_it_is_raised(kind):
    assert kind.__doc__


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)
def test_problem_place_and_remedy_make_one_text(kind):
    error = kind("damaged (cut)", where=Path("runs/a.json"), remedy="delete it")
    assert str(error) == "runs/a.json: damaged (cut); delete it."
    assert (error.problem, error.where, error.remedy) == (
        "damaged (cut)",
        "runs/a.json",
        "delete it",
    )


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"where": "a"}, "a: wrong."),
        ({"remedy": "Mend it."}, "wrong. Mend it."),
        (
            {"where": "a", "remedy": "`curate verify a` mends it"},
            "a: wrong; `curate verify a` mends it.",
        ),
    ],
)
@pytest.mark.parametrize("problem", ["wrong", "wrong."])
def test_parts_end_as_sentences_do_however_they_were_given(problem, given, text):
    assert str(CurateError(problem, **given)) == text


def test_a_place_that_holds_the_first_is_named_before_it():
    error = CurateError("empty", where="row 3")
    assert str(error.at("pool.jsonl").at("inputs")) == "inputs: pool.jsonl: row 3: empty."
    assert error.at("x") is error


@pytest.mark.parametrize("kind", [CurateError, *CLASSES], ids=lambda c: c.__name__)
def test_an_error_is_the_same_after_a_copy(kind):
    error = kind("damaged", where="a.json", remedy="delete it").at("runs")
    passed_on = CurateError.from_json(error.to_json())
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), passed_on):
        assert type(other) is kind
        assert vars(other) == vars(error)
        assert str(other) == str(error) == "runs: a.json: damaged; delete it."


def test_an_error_of_a_worker_arrives_as_it_was_raised():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for kind in CLASSES:
            with pytest.raises(kind) as caught:
                pool.apply(_fail, (kind,))
            assert vars(caught.value) == vars(kind("p", where="w", remedy="r"))


def _fail(kind):
    raise kind("p", where="w", remedy="r")


@pytest.mark.parametrize("kind", [c for c in CLASSES if issubclass(c, OSError)])
def test_errors_of_the_system_keep_what_the_system_says(kind):
    error = kind("cannot write x", where="x", remedy="free space")
    assert (error.errno, error.strerror, error.filename) == (None, None, None)
    error.errno = 28
    assert error.errno == 28
    assert str(error) == "x: cannot write x; free space."
