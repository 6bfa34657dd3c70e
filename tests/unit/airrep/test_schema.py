"""Values are converted as their annotations say, and the innermost wrong one is named."""

from dataclasses import dataclass, field
from math import inf, nan
from typing import Any, Literal

import pytest

from airrep.errors import ArgumentError
from airrep.schema import (
    Amount,
    Count,
    Finite,
    Natural,
    Positive,
    Share,
    check_fields,
    check_names,
    converted,
)


@dataclass(frozen=True)
class Inner:
    count: Count
    word: Literal["a", "b"] | Count = "a"

    def __post_init__(self):
        if self.count == 13:
            raise ArgumentError("13 is no good", where="inner")


@dataclass(frozen=True)
class Outer:
    inner: Inner | None = None
    many: dict[str, list[Inner]] = field(default_factory=dict)
    pair: tuple[int, ...] | None = None
    anything: dict[str, Any] = field(default_factory=dict)


def test_values_become_what_is_annotated():
    given = {"inner": {"count": 2, "later": 1}, "many": {"x": [{"count": 1, "word": 3}]},
             "pair": [1, 2], "anything": {"k": [None, {"a": 1}]}}  # fmt: skip
    expected = Outer(Inner(2), {"x": [Inner(1, 3)]}, (1, 2), {"k": [None, {"a": 1}]})
    assert converted(given, Outer) == expected
    assert converted(expected, Outer) is expected
    made = converted({"inner": None}, Outer)
    assert made == Outer()
    assert isinstance(converted(1, Positive), float)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], r"^top: expected a mapping, found \[\]\.$"),
        ({"inner": {}}, r"^top\.inner: 'count' is missing\.$"),
        ({"inner": {"count": 0}}, r"^top\.inner\.count: expected int >= 1, found 0\.$"),
        ({"inner": {"count": True}}, r"^top\.inner\.count: expected int, found True\.$"),
        (
            {"inner": {"count": 1, "word": "c"}},
            r"inner\.word: expected one of a, b, int, found 'c'",
        ),
        ({"inner": {"count": 13}}, r"^inner: 13 is no good\.$"),
        ({"inner": 3}, r"^top\.inner: expected a mapping or null, found 3\.$"),
        ({3: 4}, r"^top: expected str, found 3\.$"),
        ({"many": {"x": [], 4: []}}, r"^top\.many: expected str, found 4\.$"),
        (
            {"many": {"x": [{"count": 1}, {"count": "1"}]}},
            r"^top\.many\.x\[1\]\.count: expected int",
        ),
        ({"pair": [1, 2.5]}, r"^top\.pair\[1\]: expected int, found 2\.5\.$"),
        ({"anything": [1]}, r"^top\.anything: expected a mapping, found \[1\]\.$"),
    ],
)
def test_the_innermost_wrong_value_is_named(value, message):
    with pytest.raises(ArgumentError, match=message):
        converted(value, Outer, "top")


@pytest.mark.parametrize("kind", [Finite, Amount, Positive, Share])
@pytest.mark.parametrize("value", [nan, inf, -inf, 10**400, "1", True, None])
def test_what_is_no_number_to_compute_with_is_refused(kind, value):
    with pytest.raises(ArgumentError, match=r"^it: expected "):
        converted(value, kind, "it")


@pytest.mark.parametrize(
    ("kind", "inside", "outside"),
    [(Natural, 0, -1), (Count, 1, 0), (Amount, 0, -0.1), (Positive, 0.1, 0), (Share, 1, 1.1)],
)
def test_bounds(kind, inside, outside):
    assert converted(inside, kind) == inside
    with pytest.raises(ArgumentError, match=f"expected .*, found {outside}"):
        converted(outside, kind)


def test_fields_of_an_instance_are_checked():
    check_fields(Inner(1), "inner")
    with pytest.raises(ArgumentError, match=r"^inner\.count: expected int, found '1'"):
        check_fields(Inner("1"), "inner")


def test_unknown_names_are_listed_with_the_known_ones():
    check_names({"inner": {"count": 1}, "anything": {"x": 1}, "many": 3}, Outer)
    check_names(3, Outer)
    with pytest.raises(ArgumentError, match=r"^inner: setting 'x' is unknown; there are count, w"):
        check_names({"inner": {"x": 1}}, Outer)
    with pytest.raises(ArgumentError, match=r"^the config: setting '1' is unknown; there are inn"):
        check_names({1: 1}, Outer)
