"""Arithmetic stories whose worked solutions are computed along with the numbers."""

from __future__ import annotations

import random

from curate.demo_data.vocabulary import CITIES, PEOPLE, PRODUCTS
from curate.demo_data.wording import TaskFamily, instruct, join_words, with_article


def word_problem(rng: random.Random) -> tuple[str, str]:
    """Solve an arithmetic story in several steps and show the working."""
    story = rng.choice((_shopping, _harvest, _journey, _savings, _sharing, _reading))
    problem, solution = story(rng)
    prompt = instruct(
        rng,
        (
            "solve this problem and show your working",
            "work out the answer to this question step by step",
            "explain each step of the solution and finish with the answer",
        ),
        problem,
    )
    return prompt, solution


def _shopping(rng: random.Random) -> tuple[str, str]:
    person = rng.choice(PEOPLE)
    first, second = rng.sample(("notebooks", "candles", "mugs", "maps", "plants", "scarves"), 2)
    count_1, count_2 = rng.randint(2, 9), rng.randint(2, 9)
    price_1, price_2 = rng.randint(2, 12), rng.randint(2, 12)
    cost_1, cost_2 = count_1 * price_1, count_2 * price_2
    total = cost_1 + cost_2
    paid = (total // 50 + 1) * 50
    problem = (
        f"{person.name} buys {count_1} {first} at {price_1} dollars each and {count_2} {second} at "
        f"{price_2} dollars each. How much change does {person.subject} get from {paid} dollars?"
    )
    solution = (
        f"The {first} cost {count_1} * {price_1} = {cost_1} dollars. The {second} cost {count_2} * "
        f"{price_2} = {cost_2} dollars. Together that is {cost_1} + {cost_2} = {total} dollars. "
        f"The change is {paid} - {total} = {paid - total} dollars. Answer: {paid - total}"
    )
    return problem, solution


def _harvest(rng: random.Random) -> tuple[str, str]:
    person = rng.choice(PEOPLE)
    fruit = rng.choice(("apples", "oranges", "lemons", "peaches", "plums", "mangoes"))
    per_hour, hours, per_box = rng.randint(12, 40), rng.randint(2, 6), rng.randint(4, 10)
    picked = per_hour * hours
    boxes = rng.randint(max(2, picked // per_box // 2), (picked - 2) // per_box)
    given = picked - per_box * boxes
    problem = (
        f"{person.name} picks {per_hour} {fruit} an hour for {hours} hours. After giving {given} "
        f"of them to a neighbour, {person.subject} packs the rest into boxes of {per_box}. "
        f"How many boxes are filled?"
    )
    solution = (
        f"{person.name} picks {per_hour} * {hours} = {picked} {fruit}. After the gift, {picked} - "
        f"{given} = {picked - given} are left. They fill {picked - given} / {per_box} = {boxes} "
        f"boxes. Answer: {boxes}"
    )
    return problem, solution


def _journey(rng: random.Random) -> tuple[str, str]:
    fast, slow = rng.randrange(70, 105, 5), rng.randrange(30, 65, 5)
    hours_1, hours_2 = rng.randint(2, 5), rng.randint(1, 4)
    part_1, part_2 = fast * hours_1, slow * hours_2
    vehicle = rng.choice(("bus", "lorry", "coach", "delivery van"))
    problem = (
        f"A {vehicle} leaves {rng.choice(CITIES)}, drives for {hours_1} hours at {fast} "
        f"kilometres per hour and then, on mountain roads, for {hours_2} "
        f"hour{'s' if hours_2 > 1 else ''} at {slow} kilometres per hour. How far does it travel?"
    )
    solution = (
        f"The first part is {hours_1} * {fast} = {part_1} kilometres. The second part is {hours_2} "
        f"* {slow} = {part_2} kilometres. In total the {vehicle} travels {part_1} + {part_2} = "
        f"{part_1 + part_2} kilometres. Answer: {part_1 + part_2}"
    )
    return problem, solution


def _savings(rng: random.Random) -> tuple[str, str]:
    person, product = rng.choice(PEOPLE), rng.choice(list(PRODUCTS))
    weekly, weeks = rng.randint(6, 25), rng.randint(4, 16)
    saved = weekly * weeks
    present = rng.randrange(10, 60, 5)
    price = rng.randint(20, saved + present - 5)
    problem = (
        f"{person.name} saves {weekly} dollars a week for {weeks} weeks and gets another {present} "
        f"dollars as a present. Then {person.subject} buys {with_article(product)} for {price} "
        f"dollars. How much money is left?"
    )
    solution = (
        f"In {weeks} weeks {person.name} saves {weekly} * {weeks} = {saved} dollars. With the "
        f"present it is {saved} + {present} = {saved + present} dollars. After the purchase, "
        f"{saved + present} - {price} = {saved + present - price} dollars are left. "
        f"Answer: {saved + present - price}"
    )
    return problem, solution


def _sharing(rng: random.Random) -> tuple[str, str]:
    host, *guests = rng.sample(PEOPLE, rng.randint(3, 5))
    share, trays = rng.randint(3, 9), rng.randint(2, 6)
    shared = share * len(guests)
    per_tray = shared // trays + 1
    baked = per_tray * trays
    eaten = baked - shared
    names = join_words([guest.name for guest in guests])
    problem = (
        f"{host.name} bakes {trays} trays with {per_tray} biscuits each and eats {eaten} of the "
        f"biscuits. The others are shared equally among {names}. How many does each of them get?"
    )
    solution = (
        f"{host.name} bakes {trays} * {per_tray} = {baked} biscuits. After eating {eaten}, there "
        f"are {baked} - {eaten} = {shared} left. Shared among {len(guests)} people, that makes "
        f"{shared} / {len(guests)} = {share} each. Answer: {share}"
    )
    return problem, solution


def _reading(rng: random.Random) -> tuple[str, str]:
    person = rng.choice(PEOPLE)
    daily, days = rng.randint(8, 30), rng.randint(3, 9)
    faster, days_left = rng.randint(31, 50), rng.randint(2, 9)
    read, rest = daily * days, faster * days_left
    problem = (
        f"{person.name} is reading a book of {read + rest} pages. For {days} days {person.subject} "
        f"reads {daily} pages a day, and from then on {faster} pages a day. How many more days "
        f"does {person.subject} need to finish it?"
    )
    solution = (
        f"In the first {days} days {person.name} reads {days} * {daily} = {read} pages. That "
        f"leaves {read + rest} - {read} = {rest} pages. They take {rest} / {faster} = {days_left} "
        f"days. Answer: {days_left}"
    )
    return problem, solution


ARITHMETIC_TASKS: dict[str, TaskFamily] = {"word_problem": word_problem}
