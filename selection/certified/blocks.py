"""Work on every block of scores, several at a time, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from selection.group import usable_cpus
from selection.scores import Float32, Scores

Found = TypeVar("Found")


def map_blocks(
    scores: Scores,
    starts: Sequence[int],
    work: Callable[[int, Float32], Found],
    threads: int | None = None,
) -> Iterator[tuple[int, Float32, Found]]:
    """First column, scores (T, up to BLOCK), and what `work` made of them, in this order.

    Blocks are computed by as many threads as there are CPUs to use, unless it is said how many, at
    most two blocks a thread ahead; what comes back does not depend on that.
    """

    def one(start: int) -> tuple[int, Float32, Found]:
        ((_, block),) = scores.blocks([start])
        return start, block, work(start, block)

    threads = threads or usable_cpus()
    waiting: deque[Future[tuple[int, Float32, Found]]] = deque()
    with ThreadPoolExecutor(threads) as workers:
        try:
            for start in starts:
                waiting.append(workers.submit(one, start))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
