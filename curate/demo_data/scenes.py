"""Small worlds that several families look at from different sides.

A review is read for its mood, for its title and for its details; an event is extracted, rewritten,
compared and inferred from. Each draw returns the text together with everything that is true about
it, so that every completion can be computed.
"""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass

from curate.demo_data.vocabulary import ACTIONS, ASPECTS, CITIES, PEOPLE, PRODUCTS, Action, Person
from curate.demo_data.wording import NUMBER_WORDS, long_date, phrase, random_date


@dataclass(frozen=True)
class Review:
    """A product review; ``verdicts`` maps each aspect it mentions to whether it pleased."""

    product: str
    text: str
    verdicts: dict[str, bool]

    @property
    def sentiment(self) -> str:
        """``positive`` or ``negative`` where all verdicts agree, ``mixed`` where they do not."""
        if all(self.verdicts.values()):
            return "positive"
        return "mixed" if any(self.verdicts.values()) else "negative"


_REVIEW_OPENINGS = (
    "I bought this {product} for my {relative} {when}.",
    "We have had the {product} for {number} months now.",
    "This {product} replaces one that I had for {number} years.",
    "I ordered the {product} just before a trip to {city}.",
    "My {relative} gave me this {product} for my birthday.",
    "After reading {number} tests I settled on this {product}.",
)
_REVIEW_CLOSINGS = {
    "positive": ("I would buy it again.", "My {relative} wants one too.", "Well done!", ""),
    "negative": ("I am sending it back.", "I want my money back.", "Please avoid this one.", ""),
    "mixed": (
        "I am in two minds about it.",
        "It does the job, more or less.",
        "I might keep it.",
        "",
    ),
}
_RELATIVES = ("mother", "father", "sister", "brother", "daughter", "son", "aunt", "uncle", "niece")


def draw_review(rng: random.Random) -> Review:
    """Write a review of one product that praises or criticises two or three of its aspects."""
    product = rng.choice(list(PRODUCTS))
    names = rng.sample(PRODUCTS[product], rng.choice((2, 2, 3)))
    mood = rng.choice(("positive", "negative", "mixed"))
    if mood == "mixed":
        first = rng.random() < 0.5
        verdicts = {name: first != bool(position) for position, name in enumerate(names)}
    else:
        verdicts = dict.fromkeys(names, mood == "positive")
    remarks = [
        rng.choice(ASPECTS[name].pleased if pleased else ASPECTS[name].annoyed)
        for name, pleased in verdicts.items()
    ]
    relative = rng.choice(_RELATIVES)
    opening = phrase(
        rng,
        _REVIEW_OPENINGS,
        product=product,
        relative=relative,
        number=rng.choice(NUMBER_WORDS[2:]),
        when=rng.choice(("last week", "last month", "in the spring", "at the end of last year")),
        city=rng.choice(CITIES),
    )
    closing = phrase(rng, _REVIEW_CLOSINGS[mood], relative=relative)
    text = " ".join(part for part in (opening, *remarks, closing) if part)
    return Review(product, text, verdicts)


@dataclass(frozen=True)
class Event:
    """Somebody did something to a thing, in a city, on a day."""

    person: Person
    action: Action
    city: str
    day: dt.date

    @property
    def when(self) -> str:
        """The day as it appears in running text."""
        return long_date(self.day)

    def active(self, rng: random.Random) -> str:
        """Tell the event in the active voice, with its parts in one of several orders."""
        done = f"{self.person.name} {self.action.past} {self.action.thing}"
        return self._place_and_time(rng, done)

    def passive(self, rng: random.Random) -> str:
        """Tell the event in the passive voice, with its parts in one of several orders."""
        verb = f"{self.action.was} {self.action.participle}"
        return self._place_and_time(rng, f"{self.action.thing} {verb} by {self.person.name}")

    def reworded(self, rng: random.Random) -> str:
        """Tell the event in the active voice with a synonym in place of the verb."""
        done = f"{self.person.name} {self.action.similar_past} {self.action.thing}"
        return self._place_and_time(rng, done)

    def _place_and_time(self, rng: random.Random, done: str) -> str:
        sentence_start = done[:1].upper() + done[1:]
        return rng.choice(
            (
                f"{sentence_start} in {self.city} on {self.when}.",
                f"On {self.when}, {done} in {self.city}.",
                f"In {self.city}, {done} on {self.when}.",
            )
        )


def draw_event(rng: random.Random) -> Event:
    """Draw an event: who, what, where and when."""
    return Event(rng.choice(PEOPLE), rng.choice(ACTIONS), rng.choice(CITIES), random_date(rng))
