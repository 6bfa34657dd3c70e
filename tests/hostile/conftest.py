"""Inputs that nobody should have to write by hand: mutated bytes and values, and a time limit."""

from __future__ import annotations

import copy
import json
import random
import signal
from contextlib import contextmanager

import pytest

from airrep.errors import CurateError

# That one case may compute, and may wait; most take milliseconds. A machine may have other work.
COMPUTING, WAITING = 20, 300
TOKENS = [
    b"", b"\n", b"\r", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xf0\x9f", b'"',
    b"'", b"\\", b"\\ud800", b",", b":", b"{", b"}", b"[", b"]", b"[[[[", b"null", b"NaN",
    b"-Infinity", b"1e999", b"-1", b"9" * 30, b"9" * 5000, b"../../../etc/passwd", b"<script>",
    b"{{7*7}}", b"%s%n", b"&a [*a]", b"!!python/object:os.system", b"\x1b[2J", b"prompt",
    b"completion", b"text",
]  # fmt: skip
VALUES = [
    None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 10**400, 0.5, -0.0, 1e308, float("nan"),
    float("inf"), "", " ", "\0", "\ud800", "x" * 5000, "1", "nan", "../../../etc/passwd", "<b>",
    "\x1b[31m", "{{7*7}}", "%s", [], {}, [[]], [None], {"": None}, [1, "a"], {"a": {"b": []}},
    [{"role": "user", "content": "hi"}], [{"role": "assistant", "content": "yes"}],
    [{"from": "gpt", "value": 3}], [{"role": [], "content": {}}], "2024-99-99", "*", "~/x", "?",
]  # fmt: skip


class Stuck(BaseException):
    """A case did not end; not an `Exception`, so that nothing can take it for an error."""


@contextmanager
def _limited():
    def stop(*_):
        raise Stuck(f"more than {COMPUTING} s of computing, or {WAITING} s in all")

    limits = (
        (signal.ITIMER_PROF, signal.SIGPROF, COMPUTING),
        (signal.ITIMER_REAL, signal.SIGALRM, WAITING),
    )
    before = [signal.signal(number, stop) for _, number, _ in limits]
    for timer, _, seconds in limits:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for (timer, number, _), handler in zip(limits, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def outcome():
    """Call something: its result, or the error of ours that it ended in, which is checked.

    Whatever else it raises, or that it does not end in time, fails the test.
    """

    def run(call, *args, **kwargs):
        with _limited():
            try:
                return call(*args, **kwargs)
            except CurateError as error:
                found = error
        message = str(found)
        assert message.strip(), f"{type(found).__name__} says nothing"
        assert "Traceback" not in message
        assert len(message) < 20_000, "a message, not a dump"
        return found

    return run


@pytest.fixture(scope="session")
def limited():
    """A context that must be left in time."""
    return _limited


def _mutate(data: bytes, rng: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(made) + 1)
        until = min(len(made), at + rng.choice((1, 1, 2, 8, 64)))
        match rng.randrange(7):
            case 0 if at < len(made):
                made[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(made):
                made[at] = rng.randrange(256)
            case 2:
                made[at:at] = rng.choice(TOKENS)
            case 3:
                made[at:until] = rng.choice(TOKENS)
            case 4:
                del made[at:until]
            case 5:
                made[at:at] = made[at:until] * rng.choice((1, 2, 50))
            case 6 if rng.random() < 0.3:
                del made[at:]
    return bytes(made)


def _mutate_value(value, rng: random.Random):
    """A copy of plain values in which some have become others, or are gone, or came in."""
    made = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = [(None, None), *_places(made)]
        holder, key = rng.choice(places)
        new = rng.choice(VALUES)
        if rng.random() < 0.2:
            new = rng.choice([place[0][place[1]] for place in places[1:]] or [new])
        new = copy.deepcopy(new)
        if holder is None:
            if len(places) == 1 or rng.random() < 0.2:
                made = new
        elif rng.random() < 0.2:
            del holder[key]
        elif isinstance(holder, dict) and rng.random() < 0.15:
            holder[rng.choice(["", "zork", str(key) + "s", "\ud800", "prompt"])] = new
        else:
            holder[key] = new
    return made


def _places(value):
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


@pytest.fixture(scope="session")
def mutate():
    """Bytes to other bytes, by a seeded `random.Random`."""
    return _mutate


@pytest.fixture(scope="session")
def mutate_value():
    """Plain values to others, by a seeded `random.Random`."""
    return _mutate_value


@pytest.fixture(scope="session")
def as_json():
    """Plain values as JSON, also where no JSON library would write them."""

    def write(value) -> bytes:
        import sys

        most = sys.get_int_max_str_digits()
        sys.set_int_max_str_digits(0)
        try:
            return json.dumps(value).encode("utf-8")
        finally:
            sys.set_int_max_str_digits(most)

    return write


@pytest.fixture(scope="session")
def values():
    """What any field may turn out to hold."""
    return VALUES
