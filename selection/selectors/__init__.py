"""Selectors: scores to a chosen set."""

from typing import Literal, get_args

from airrep.errors import ArgumentError
from selection.selectors.base import Selector, SizesItself
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
SELECTORS: tuple[SelectorName, ...] = get_args(SelectorName)


# Herding looks at every row for every pick; larger pools are for a selector that need not.
HERDED_ROWS = 100_000


def default_selector(scorer: object, rows: int, scale: float | None = None) -> SelectorName:
    """What chooses best from a scorer's scores, as far as fine-tuning has shown (docs/encoder.md).

    Args:
        scorer: One that says so by an attribute `selector`, as encoders' do, or else any.
        rows: Rows of the pool; above `HERDED_ROWS` layered greedy, whatever the scorer.
        scale: As the user gave it; one asks for a selector that pools scores.
    """
    if scale is not None or rows > HERDED_ROWS:
        return "layered_greedy"
    name: SelectorName = getattr(scorer, "selector", "layered_greedy")
    return name


def check_selector(selector: Selector, scorer: object) -> None:
    """Refuse, before anything is scored, a selector that the scorer's scores cannot serve.

    Raises:
        ArgumentError: It compares embeddings, and the scorer says that it has none, by an attribute
            `embeds`.
    """
    if isinstance(selector, Herding) and not getattr(scorer, "embeds", True):
        raise selector.without_embeddings(str(getattr(scorer, "name", type(scorer).__name__)))


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
    """
    match name:
        case "layered_greedy" | "plain_greedy":
            return GroupGreedy(layered=name == "layered_greedy", scale=scale)
        case "herding":
            return Herding()
        case "coverage":
            return Coverage(scale=scale)
        case "round_robin":
            return RoundRobin()
        case "top_k_max":
            return TopK("max")
        case "top_k_mean":
            return TopK("mean")
        case "random":
            return RandomSelector(seed)
    raise ArgumentError(f"selector {name!r} is unknown; choose from {', '.join(SELECTORS)}.")
