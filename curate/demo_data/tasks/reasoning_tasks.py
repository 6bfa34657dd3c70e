"""Working things out: units of measurement, calendar dates and deductions from clues."""

from __future__ import annotations

import datetime as dt
import itertools
import random
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from curate.demo_data.vocabulary import CITIES, PEOPLE, PRODUCTS, WEEKDAYS
from curate.demo_data.wording import (
    TaskFamily,
    instruct,
    long_date,
    phrase,
    random_date,
    with_article,
)


class Unit(NamedTuple):
    """A conversion, ``target = source * factor + offset``, and a sentence with such an amount."""

    source: str
    target: str
    factor: Decimal
    offset: Decimal
    example: str


_ZERO = Decimal(0)
_UNITS = (
    Unit(
        "miles",
        "kilometres",
        Decimal("1.609344"),
        _ZERO,
        "A trail near {city} has a length of {x}.",
    ),
    Unit("kilometres", "miles", 1 / Decimal("1.609344"), _ZERO, "It is {x} from here to {city}."),
    Unit("feet", "metres", Decimal("0.3048"), _ZERO, "{name} has built a wall of {x} in {city}."),
    Unit("inches", "centimetres", Decimal("2.54"), _ZERO, "{name} has a box of {x} for {product}."),
    Unit("pounds", "kilograms", Decimal("0.45359237"), _ZERO, "A parcel to {city} weighs {x}."),
    Unit("ounces", "grams", Decimal("28.349523125"), _ZERO, "{name} has bought {x} of honey."),
    Unit("US gallons", "litres", Decimal("3.785411784"), _ZERO, "A fountain in {city} holds {x}."),
    Unit("acres", "hectares", Decimal("0.40468564224"), _ZERO, "A park in {city} covers {x}."),
    Unit(
        "degrees Celsius", "degrees Fahrenheit", Decimal("1.8"), Decimal(32), "It is {x} in {city}."
    ),
)


def unit_conversion(rng: random.Random) -> tuple[str, str]:
    """Convert a quantity to another unit, rounded to one decimal place."""
    unit = rng.choice(_UNITS)
    amount = Decimal(rng.randint(20, 399)) / 10
    exact = amount * unit.factor + unit.offset
    result = exact.quantize(Decimal("0.1"), ROUND_HALF_UP)
    example = unit.example.format(
        x=f"{amount} {unit.source}",
        name=rng.choice(PEOPLE).name,
        city=rng.choice(CITIES),
        product=with_article(rng.choice(list(PRODUCTS))),
    )
    prompt = instruct(
        rng,
        (
            "convert the amount to {target}, rounded to one decimal place",
            "work out how much this is in {target}, to one decimal place",
            "say the same in {target} instead of {source}, with one decimal",
        ),
        example,
        source=unit.source,
        target=unit.target,
    )
    verb = "is" if exact == result else "is about"
    return prompt, f"{amount} {unit.source} {verb} {result} {unit.target}."


def date_arithmetic(rng: random.Random) -> tuple[str, str]:
    """Count with calendar days: later dates, differences and days of the week."""
    question, answer = rng.choice((_deadline, _days_between, _weekday))(rng)
    prompt = instruct(
        rng,
        (
            "work out the answer to this question about the calendar",
            "count the days and write down the answer",
            "answer this question about dates",
        ),
        question,
    )
    return prompt, answer


def _deadline(rng: random.Random) -> tuple[str, str]:
    day = random_date(rng)
    number, unit, unit_days = rng.choice(
        ((rng.randint(10, 120), "days", 1), (rng.randint(2, 20), "weeks", 7))
    )
    question = phrase(
        rng,
        (
            "{name} bought {a_product} on {day} and may return it within {span}. What is the last "
            "day for that?",
            "A parcel left {city} on {day} and arrived {span} later. On which date did it arrive?",
            "On {day}, {name} moved to {city} for exactly {span}. On what date did the stay end?",
        ),
        name=rng.choice(PEOPLE).name,
        a_product=with_article(rng.choice(list(PRODUCTS))),
        city=rng.choice(CITIES),
        day=long_date(day),
        span=f"{number} {unit}",
    )
    end = day + dt.timedelta(days=number * unit_days)
    return question, f"{number} {unit} after {long_date(day)} is {long_date(end)}."


def _days_between(rng: random.Random) -> tuple[str, str]:
    days = rng.randint(5, 200)
    first = random_date(rng)
    second = first + dt.timedelta(days=days)
    question = phrase(
        rng,
        (
            "How many days are there from {first} to {second}, not counting the first day?",
            "{name} left {city} on {first} and came back on {second}. How many days passed?",
            "One exhibition in {city} opened on {first} and the next on {second}. How many days "
            "after the first did the second one open?",
        ),
        first=long_date(first),
        second=long_date(second),
        name=rng.choice(PEOPLE).name,
        city=rng.choice(CITIES),
    )
    return question, f"{long_date(second)} is {days} days after {long_date(first)}."


def _weekday(rng: random.Random) -> tuple[str, str]:
    days = rng.randint(8, 90)
    known = random_date(rng)
    asked = known + dt.timedelta(days=days)
    question = phrase(
        rng,
        (
            "{known} was a {weekday}. Which day of the week was {asked}?",
            "{name} arrived in {city} on {known}, a {weekday}, and left on {asked}. On which day "
            "of the week did {name} leave?",
            "If {known} is a {weekday}, what day of the week is {asked}?",
        ),
        known=long_date(known),
        weekday=WEEKDAYS[known.weekday()],
        asked=long_date(asked),
        name=rng.choice(PEOPLE).name,
        city=rng.choice(CITIES),
    )
    answer = (
        f"{long_date(asked)} is {days} days later. {days} = 7 * {days // 7} + {days % 7}, so it is "
        f"a {WEEKDAYS[asked.weekday()]}."
    )
    return question, answer


class Comparison(NamedTuple):
    """Two ways to say that a comes before b, and the words for both ends and for the scale."""

    forward: str
    backward: str
    top: str
    bottom: str
    scale: str


_COMPARISONS = (
    Comparison(
        "{a} is older than {b}.",
        "{b} is younger than {a}.",
        "is the oldest",
        "is the youngest",
        "From oldest to youngest",
    ),
    Comparison(
        "{a} is taller than {b}.",
        "{b} is shorter than {a}.",
        "is the tallest",
        "is the shortest",
        "From tallest to shortest",
    ),
    Comparison(
        "{a} crossed the line before {b}.",
        "{b} was slower than {a}.",
        "won the {city} marathon",
        "came last in the {city} marathon",
        "From first to last",
    ),
    Comparison(
        "{a} lives closer to {city} than {b}.",
        "{b} lives farther from {city} than {a}.",
        "lives closest to {city}",
        "lives farthest from {city}",
        "From closest to farthest",
    ),
    Comparison(
        "{a} earns more than {b}.",
        "{b} earns less than {a}.",
        "earns the most",
        "earns the least",
        "From highest to lowest pay",
    ),
)


def ordering(rng: random.Random) -> tuple[str, str]:
    """Work out an order from comparisons in mixed order, and say who is at one end of it."""
    order = [person.name for person in rng.sample(PEOPLE, rng.choice((3, 4, 4)))]
    comparison, city = rng.choice(_COMPARISONS), rng.choice(CITIES)
    clues = [
        phrase(rng, (comparison.forward, comparison.backward), a=first, b=second, city=city)
        for first, second in itertools.pairwise(order)
    ]
    rng.shuffle(clues)
    wanted, answer = rng.choice(((comparison.top, order[0]), (comparison.bottom, order[-1])))
    prompt = instruct(
        rng,
        (
            "work out who {wanted} and explain the answer briefly",
            "use these clues to find out who {wanted}",
            "put the people in order and say who {wanted}",
        ),
        " ".join(clues),
        wanted=wanted.format(city=city),
    )
    return prompt, f"{comparison.scale}: {', '.join(order)}. So the answer is {answer}."


REASONING_TASKS: dict[str, TaskFamily] = {
    "unit_conversion": unit_conversion,
    "date_arithmetic": date_arithmetic,
    "ordering": ordering,
}
