"""The one error family."""

from __future__ import annotations

import builtins
import inspect
import re

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
