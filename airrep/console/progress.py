"""Progress of long work: a bar on a terminal or in a notebook, a plain line now and then in a log.

Every long loop opens a `bar` and tells it what was done. On a terminal it moves with every batch
and says how many rows a second there are and how long the rest will take. Elsewhere standard error
is a log, where a bar would leave carriage returns: there a line is written after 10 seconds, and
every half minute from then on, and one at the end.

Before long work starts, `announce` says how much there is. How long it takes is not guessed: the
first part of the work is timed, and if half a minute or more is left, a line says so.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tqdm.auto import tqdm

from airrep.console.wording import counted, noun_for
from airrep.machine.processes import rank

_FIRST, _EVERY = 10.0, 30.0  # seconds until a log's first line, and from one to the next
_TIMED, _LONG = 1.0, 30.0  # seconds of work that tell the pace, and left that are worth a line
clock = time.monotonic


def announce(what: str, *parts: str, shown: bool = True) -> None:
    """Say how much work there is, before it starts; of several processes, the first says it.

    Args:
        what: What is about to be done.
        parts: How much of it there is, in words; empty ones are left out.
        shown: Whether anything is shown at all.
    """
    if shown and rank() == 0:
        _say(f"{what}: {', '.join(part for part in parts if part)}")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class Bar:
    """What was done of a piece of work; shows nothing."""

    def __init__(self, total: int, unit: str, done: int = 0) -> None:
        """`done` of `total` was there before."""
        self.total, self.unit, self.done, self.found = total, unit, done, done

    def advance(self, count: int = 1) -> None:
        """So many more were done."""
        self.done += count

    def timed(self, count: int, unit: str, left: int) -> None:
        """Say how long the work took until now, and how long the rest will take.

        Args:
            count: How much was done.
            unit: What is counted, in the singular.
            left: How much there is to do.
        """

    def skip(self, count: int) -> None:
        """So many more need not be done: they were found; the pace is that of the others."""
        self.done += count
        self.found += count

    def reach(self, done: int) -> None:
        """So many are done in all, by whomever."""
        if done != self.done:
            self.advance(done - self.done)

    def note(self, text: str) -> None:
        """Say this beside the bar."""

    def close(self) -> None:
        """No more is done."""


class _Shown(Bar):
    """On a terminal or in a log: the first part of the work is timed."""

    def __init__(self, total: int, what: str, unit: str, done: int, *, timed: bool) -> None:
        super().__init__(total, unit, done)
        self._what, self._began = what, clock()
        self._untimed = timed

    def advance(self, count: int = 1) -> None:
        super().advance(count)
        if self._untimed and clock() - self._began >= _TIMED:
            self._untimed = False
            self.timed(self.done - self.found, self.unit, self.total - self.done)

    def timed(self, count: int, unit: str, left: int) -> None:
        seconds = clock() - self._began
        rest = seconds / max(1, count) * left
        if rest >= _LONG:
            first = f"first {unit}" if count == 1 else f"first {counted(count, unit)}"
            took = f"the {first} took {duration(seconds)}"
            self._say(f"{self._what}: {took}; {left:,} left: about {duration(rest)}")

    def _say(self, line: str) -> None:
        _say(line)


class _Drawn(_Shown):
    """On a terminal, or in a notebook."""

    def __init__(self, total: int, what: str, unit: str, done: int, *, timed: bool) -> None:
        super().__init__(total, what, unit, done, timed=timed)
        self._bar = tqdm(total=total, desc=what, unit=unit, initial=done, dynamic_ncols=True)

    def advance(self, count: int = 1) -> None:
        super().advance(count)
        self._bar.update(count)

    def _say(self, line: str) -> None:
        self._bar.write(line, file=sys.stderr)

    def skip(self, count: int) -> None:
        super().skip(count)
        self._bar.initial += count
        self._bar.n += count
        self._bar.last_print_n += count
        self._bar.refresh()

    def note(self, text: str) -> None:
        self._bar.set_postfix_str(text)

    def close(self) -> None:
        self._bar.close()


class _Logged(_Shown):
    """In a log."""

    def __init__(self, total: int, what: str, unit: str, done: int, *, timed: bool) -> None:
        super().__init__(total, what, unit, done, timed=timed)
        self._note = ""
        self._next = self._began + _FIRST

    def advance(self, count: int = 1) -> None:
        super().advance(count)
        if clock() >= self._next:
            self._next = clock() + _EVERY
            self._write(self._pace())

    def note(self, text: str) -> None:
        self._note = text

    def close(self) -> None:
        if self._next > self._began + _FIRST:
            self._write(f"in {duration(clock() - self._began)}")

    def _pace(self) -> str:
        new, seconds = self.done - self.found, clock() - self._began
        rate = new / seconds if seconds > 0 else 0.0
        if rate <= 0:
            return f"{duration(seconds)} so far"
        left = duration(max(0, self.total - self.done) / rate)
        if rate < 1:
            return f"{1 / rate:,.1f} seconds a {self.unit}, {left} left"
        return f"{rate:,.1f} {noun_for(2, self.unit)} a second, {left} left"

    def _write(self, pace: str) -> None:
        share = f" ({self.done / self.total:.0%})" if self.total else ""
        parts = [f"{self.done:,} of {self.total:,} {noun_for(2, self.unit)}{share}", pace]
        parts += [self._note] if self._note else []
        _say(f"{self._what}: {', '.join(parts)}")


class _Counted(Bar):
    """Part of what another bar counts."""

    def __init__(self, total: int, done: int, whole: Bar) -> None:
        super().__init__(total, whole.unit)
        self._whole = whole
        if done:
            self.skip(done)

    def advance(self, count: int = 1) -> None:
        super().advance(count)
        self._whole.advance(count)

    def skip(self, count: int) -> None:
        super().skip(count)
        self._whole.skip(count)


_WHOLE: ContextVar[Bar | None] = ContextVar("_WHOLE", default=None)


@contextmanager
def bar(
    total: int,
    what: str,
    unit: str = "row",
    *,
    done: int = 0,
    shown: bool = True,
    timed: bool = True,
) -> Iterator[Bar]:
    """Show how far a piece of work is; of several processes of a launcher, the first does.

    Within `counted_by` another bar counts, if it is of the same unit, and this one is not shown;
    of another unit, this one stands below it.

    Args:
        total: How much there is.
        what: It is called.
        unit: What is counted, in the singular.
        done: How much of it was done before.
        shown: Whether anything is shown at all.
        timed: Whether the pace of the first units says how long the rest takes. Where larger parts
            do (runs, of steps), say it by `Bar.timed`.
    """
    opened = _open(total, what, unit, done, shown=shown, timed=timed)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def counted_by(whole: Bar) -> Iterator[None]:
    """What bars count in here, this one counts: they are about parts of its work."""
    token = _WHOLE.set(whole)
    try:
        yield
    finally:
        _WHOLE.reset(token)


def duration(seconds: float) -> str:
    """Seconds in words, to two places: "45 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _open(total: int, what: str, unit: str, done: int, *, shown: bool, timed: bool) -> Bar:
    whole = _WHOLE.get()
    if whole is not None and whole.unit == unit:
        return _Counted(total, done, whole)
    if not shown or rank() > 0:
        return Bar(total, unit, done)
    kind = _Drawn if sys.stderr.isatty() or _in_a_notebook() else _Logged
    return kind(total, what, unit, done, timed=timed)


def _in_a_notebook() -> bool:
    return any(base.__module__ == "tqdm.notebook" for base in tqdm.__mro__)
