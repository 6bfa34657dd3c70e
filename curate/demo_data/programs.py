"""One-line Python programs known from three sides: their source, their meaning and their results.

A program filters a list, changes what is left, and reduces that to a result. Each of these parts
carries its words, its source text and a function, so that writing a program, describing it and
predicting its output are three tasks on the same material.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from curate.demo_data.vocabulary import CITIES, FOODS, ROLES


class Part(NamedTuple):
    """One stage of a program: how it reads in English, how in Python, and what it does."""

    words: str
    source: str
    apply: Callable[[Any], Any]


@dataclass(frozen=True)
class Program:
    """A one-line function over a list, together with its description."""

    parameter: str
    keep: Part
    change: Part
    reduce: Part

    @property
    def description(self) -> str:
        """What the function returns, as a noun phrase."""
        return self.reduce.words.format(self.change.words.format(self.keep.words))

    @property
    def source(self) -> str:
        """The expression that computes the result."""
        item = self.parameter[0]
        condition = f" if {self.keep.source}" if self.keep.source else ""
        loop = f"{self.change.source} for {item} in {self.parameter}{condition}"
        return self.reduce.source.format(loop)

    def run(self, values: Sequence[Any]) -> object:
        """Compute the result for a list of values."""
        return self.reduce.apply([self.change.apply(v) for v in values if self.keep.apply(v)])

    def draw_input(self, rng: random.Random) -> list[Any]:
        """Draw a list that the program can be tried on."""
        if self.parameter == "numbers":
            return [rng.randint(-9, 20) for _ in range(rng.randint(4, 6))]
        return [word.lower() for word in rng.sample((*CITIES, *FOODS, *ROLES), rng.randint(4, 5))]


def draw_program(rng: random.Random) -> Program:
    """Draw a program over numbers or over words."""
    return rng.choice((_over_numbers, _over_words))(rng)


def _over_numbers(rng: random.Random) -> Program:
    k = rng.randint(2, 9)
    keep = rng.choice(
        (
            Part("even numbers", "n % 2 == 0", lambda n: n % 2 == 0),
            Part("odd numbers", "n % 2 == 1", lambda n: n % 2 == 1),
            Part("positive numbers", "n > 0", lambda n: n > 0),
            Part("negative numbers", "n < 0", lambda n: n < 0),
            Part(f"numbers above {k}", f"n > {k}", lambda n: n > k),
            Part(f"numbers below {k}", f"n < {k}", lambda n: n < k),
            Part("numbers", "", lambda n: True),
        )
    )
    change = rng.choice(
        (
            Part("{}", "n", lambda n: n),
            Part("squares of the {}", "n ** 2", lambda n: n**2),
            Part("cubes of the {}", "n ** 3", lambda n: n**3),
            Part("absolute values of the {}", "abs(n)", abs),
            Part(f"{{}} multiplied by {k}", f"{k} * n", lambda n: k * n),
        )
    )
    reduce = rng.choice(
        (
            Part("the sum of the {}", "sum({})", sum),
            Part("a list of the {}", "[{}]", list),
            Part("a sorted list of the {}", "sorted({})", sorted),
            Part(
                "the largest of the {}, or 0 if there are none",
                "max(({}), default=0)",
                lambda values: max(values, default=0),
            ),
        )
    )
    return Program("numbers", keep, change, reduce)


def _over_words(rng: random.Random) -> Program:
    length, letter = rng.randint(4, 7), rng.choice("abcdeghilmnoprst")
    keep = rng.choice(
        (
            Part(
                f"words longer than {length} letters",
                f"len(w) > {length}",
                lambda w: len(w) > length,
            ),
            Part(
                f"words shorter than {length} letters",
                f"len(w) < {length}",
                lambda w: len(w) < length,
            ),
            Part(
                f"words that start with the letter {letter}",
                f"w.startswith('{letter}')",
                lambda w: w.startswith(letter),
            ),
            Part(
                f"words that end with the letter {letter}",
                f"w.endswith('{letter}')",
                lambda w: w.endswith(letter),
            ),
            Part(
                f"words that contain the letter {letter}", f"'{letter}' in w", lambda w: letter in w
            ),
            Part("words", "", lambda w: True),
        )
    )
    change = rng.choice(
        (
            Part("{}", "w", lambda w: w),
            Part("upper-case forms of the {}", "w.upper()", str.upper),
            Part("reversed spellings of the {}", "w[::-1]", lambda w: w[::-1]),
            Part("first three letters of the {}", "w[:3]", lambda w: w[:3]),
        )
    )
    reduce = rng.choice(
        (
            Part("a list of the {}", "[{}]", list),
            Part("an alphabetical list of the {}", "sorted({})", sorted),
            Part("the {}, joined with hyphens", "'-'.join({})", "-".join),
            Part("the {}, joined with spaces", "' '.join({})", " ".join),
        )
    )
    return Program("words", keep, change, reduce)
