"""A wait of the tests ends with what came, or fails with what did not."""

from __future__ import annotations

import pytest


def test_it_ends_when_the_condition_holds(wait_until):
    seen = iter([0, "", [], "here"])
    assert wait_until(lambda: next(seen), "the last one") == "here"


def test_a_deadline_that_passes_is_a_failure_that_says_for_what(wait_until):
    with pytest.raises(pytest.fail.Exception, match=r"waited 0 s for a miracle; it did not come"):
        wait_until(lambda: False, "a miracle", 0)


def test_nothing_is_awaited_of_a_program_that_has_ended(wait_until, program):
    ended = program("import sys; print('done'); sys.exit('it is over')")
    assert ended.wait() == 1
    assert wait_until(lambda: ended.stdout == "done\n", "what it printed", of=ended)
    with pytest.raises(pytest.fail.Exception, match=r"for more; .* ended before \(1\): it is over"):
        wait_until(lambda: False, "more", of=ended)
