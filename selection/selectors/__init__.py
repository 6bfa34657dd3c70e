"""Selectors: scores to a chosen set."""

from collections.abc import Callable
from typing import Literal

from airrep.errors import ArgumentError
from selection.capabilities import ScorerCapabilities
from selection.selectors.base import Selector, SizesItself, check_selector
from selection.selectors.coverage import Coverage
from selection.selectors.group_greedy import GroupGreedy
from selection.selectors.herding import Herding
from selection.selectors.random import RandomSelector
from selection.selectors.round_robin import RoundRobin
from selection.selectors.top_k import TopK

__all__ = [
    "SELECTORS",
    "Coverage",
    "GroupGreedy",
    "Herding",
    "RandomSelector",
    "RoundRobin",
    "ScorerCapabilities",
    "Selector",
    "SelectorName",
    "SizesItself",
    "TopK",
    "check_selector",
    "check_sizes_itself",
    "default_selector",
    "make_selector",
]

SelectorName = Literal[
    "layered_greedy",
    "plain_greedy",
    "herding",
    "coverage",
    "round_robin",
    "top_k_max",
    "top_k_mean",
    "random",
]
# Each name's selector, made of a scale (None: the scores' own) and a seed.
SELECTORS: dict[str, Callable[[float | None, int], Selector]] = {
    "layered_greedy": lambda scale, seed: GroupGreedy(layered=True, scale=scale),
    "plain_greedy": lambda scale, seed: GroupGreedy(layered=False, scale=scale),
    "herding": lambda scale, seed: Herding(),
    "coverage": lambda scale, seed: Coverage(scale=scale),
    "round_robin": lambda scale, seed: RoundRobin(),
    "top_k_max": lambda scale, seed: TopK("max"),
    "top_k_mean": lambda scale, seed: TopK("mean"),
    "random": lambda scale, seed: RandomSelector(seed),
}

# Herding looks at every row for every pick; larger pools are for a selector that need not.
HERDED_ROWS = 100_000


def default_selector(scorer: object, rows: int, scale: float | None = None) -> str:
    """What chooses best from a scorer's scores, as far as fine-tuning has shown (docs/encoder.md).

    Args:
        scorer: One that declares it, as encoders' do (`ScorerCapabilities.selector`), or any other.
        rows: Rows of the pool; above `HERDED_ROWS` layered greedy, whatever the scorer.
        scale: As the user gave it; one asks for a selector that pools scores.

    Example:
        >>> default_selector(object(), rows=1000)
        'layered_greedy'
    """
    if scale is not None or rows > HERDED_ROWS:
        return "layered_greedy"
    return ScorerCapabilities.of(scorer).selector


def check_sizes_itself(selector: Selector) -> None:
    """Refuse, before anything is scored, k = "auto" of a selector that cannot tell how many rows.

    Raises:
        ArgumentError: It has no objective that says so.
    """
    if not isinstance(selector, SizesItself):
        able = [name for name in SELECTORS if isinstance(make_selector(name), SizesItself)]
        raise ArgumentError(
            f"k = 'auto': selector {selector.name!r} has no objective that says how many rows to "
            f"choose. Give k as a number, or choose {', '.join(able[:-1])} or {able[-1]}."
        )


def make_selector(name: str, *, scale: float | None = None, seed: int = 0) -> Selector:
    """A selector by its name.

    Args:
        name: One of `SELECTORS`.
        scale: For those that pool scores: inverse temperature, default the scores' own.
        seed: For the random one.

    Raises:
        ArgumentError: The name is unknown.

    Example:
        >>> from selection import DenseScores
        >>> scores = DenseScores([[0.9, 0.1, 0.5], [0.0, 0.8, 0.1]])
        >>> make_selector("round_robin").select(scores, 2).indices.tolist()
        [0, 1]
    """
    if name not in SELECTORS:
        raise ArgumentError(f"selector {name!r} is unknown; choose from {', '.join(SELECTORS)}.")
    return SELECTORS[name](scale, seed)
