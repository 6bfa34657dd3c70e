"""Chats between two people: the same dialogue is summarised in one task and asked about in another.

Every kind of chat is drawn together with its one-sentence summary and with questions whose answers
are known, because all three are filled from the same facts.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from curate.demo_data.vocabulary import CITIES, PEOPLE, PRODUCTS, WEEKDAYS
from curate.demo_data.wording import phrase


@dataclass(frozen=True)
class Dialogue:
    """A chat between two people, its one-sentence summary and questions with their answers."""

    text: str
    summary: str
    questions: tuple[tuple[str, str], ...]


_ACTIVITIES = (
    "watch a film",
    "play badminton",
    "rehearse the school play",
    "bake for the charity concert",
    "go for a run",
    "practise the folk songs",
    "look at the building plans",
    "try a new cafe",
    "study for the exam",
    "visit the art exhibition",
    "mend the garden fence",
    "play chess",
)
_PLACES = (
    "the library",
    "the main station",
    "the old bridge",
    "the village hall",
    "the sports centre",
    "the town museum",
    "the bus stop",
    "the harbour",
    "the market square",
)
_GIFTS = (
    "some sandwiches",
    "a thermos of tea",
    "a bottle of juice",
    "a bag of apples",
    "a fruit salad",
    "a bar of chocolate",
    "some lemonade",
    "a box of biscuits",
)
_CONFLICTS = ("at the dentist", "at work", "in a meeting", "on the train", "at a training course")
_CHORES = (
    "feed {whose} cat",
    "water {whose} plants",
    "look after {whose} dog",
    "take in {whose} parcels",
    "empty {whose} letter box",
    "collect {whose} newspapers",
)
_KEY_PLACES = (
    "under the flowerpot",
    "with the caretaker",
    "in the blue box by the door",
    "with the neighbour downstairs",
)
_REASONS_TO_SELL = (
    ("I am moving to {city}", "is moving to {city}"),
    ("I never use it", "never uses it"),
    ("I was given a new one", "was given a new one"),
    ("I need the money for a trip to {city}", "needs the money for a trip to {city}"),
)


def draw_dialogue(rng: random.Random) -> Dialogue:
    """Draw one of the kinds of chat: making an appointment, asking a favour, buying a thing."""
    return rng.choice((_appointment, _favour, _purchase))(rng)


def _transcript(speakers: tuple[str, str], lines: list[str]) -> str:
    """Give the lines to the two speakers in turn."""
    return "\n".join(f"{speakers[turn % 2]}: {line}" for turn, line in enumerate(lines))


def _appointment(rng: random.Random) -> Dialogue:
    asker, guest = (person.name for person in rng.sample(PEOPLE, 2))
    activity, place, day = rng.choice(_ACTIVITIES), rng.choice(_PLACES), rng.choice(WEEKDAYS)
    early = rng.randint(1, 6)
    late = early + rng.randint(1, 3)
    gift, conflict = rng.choice(_GIFTS), rng.choice(_CONFLICTS)
    invitation = phrase(
        rng,
        (
            "Hi {guest}, shall we {activity} on {day}?",
            "Hello {guest}! Do you feel like meeting on {day} to {activity}?",
            "Are you free on {day}, {guest}? We could {activity}.",
        ),
        guest=guest,
        activity=activity,
        day=day,
    )
    lines = [
        invitation,
        rng.choice(("Yes, I would love to. What time?", "Good idea! When?", "Sure, what time?")),
        rng.choice((f"How about {early} pm?", f"Does {early} pm suit you?")),
        f"I am still {conflict} then. Could we make it {late} pm?",
        rng.choice(("No problem.", "That works.", "Fine by me.")) + f" Let's meet at {place}.",
        rng.choice(("Great, I will bring", "Perfect. I can bring")) + f" {gift}.",
    ]
    summaries = (
        f"{asker} and {guest} will meet at {place} at {late} pm on {day} to {activity}, and "
        f"{guest} will bring {gift}.",
        f"On {day}, {asker} and {guest} are going to {activity}; they will meet at {place} at "
        f"{late} pm and {guest} will bring {gift}.",
    )
    questions = (
        (f"Where will {asker} and {guest} meet?", f"They will meet at {place}."),
        ("At what time will the two meet?", f"They will meet at {late} pm."),
        (f"What will {guest} bring?", f"{guest} will bring {gift}."),
        (f"Why can {guest} not come at {early} pm?", f"{guest} will still be {conflict} then."),
        (f"What do {asker} and {guest} plan to do?", f"They plan to {activity}."),
    )
    return Dialogue(_transcript((asker, guest), lines), rng.choice(summaries), questions)


def _favour(rng: random.Random) -> Dialogue:
    traveller, helper = rng.sample(PEOPLE, 2)
    away, friend = traveller.name, helper.name
    chore, city, keys = rng.choice(_CHORES), rng.choice(CITIES), rng.choice(_KEY_PLACES)
    leaves, returns = rng.sample(WEEKDAYS, 2)
    lines = [
        rng.choice((f"{friend}, can I ask you a favour?", f"Hi {friend}, could you help me out?")),
        rng.choice(("Of course, what is it?", "Sure, go ahead.", "I will try. What is it?")),
        f"I am going to {city} from {leaves} until {returns}. "
        f"Could you {chore.format(whose='my')}?",
        rng.choice(("Gladly. How do I get in?", "Yes, I can do that. Where are the keys?")),
        rng.choice(("Thanks!", "You are a star.", "Wonderful.")) + f" The keys are {keys}.",
        rng.choice(("All right. Enjoy your trip!", "Got it. Have a good journey!")),
    ]
    task, owner = chore.format(whose=traveller.possessive), f"{away}'s"
    summaries = (
        f"{friend} will {chore.format(whose=owner)} while {away} is in {city} from {leaves} until "
        f"{returns}; the keys are {keys}.",
        f"{away} will be away in {city} from {leaves} until {returns} and has asked {friend} to "
        f"{task}; the keys are {keys}.",
    )
    questions = (
        (f"Where is {away} going?", f"{away} is going to {city}."),
        (f"Until which day will {away} be away?", f"{away} will be away until {returns}."),
        ("Where are the keys?", f"The keys are {keys}."),
        (f"What does {away} ask {friend} to do?", f"{away} asks {friend} to {task}."),
    )
    return Dialogue(_transcript((away, friend), lines), rng.choice(summaries), questions)


def _purchase(rng: random.Random) -> Dialogue:
    buying, selling = rng.sample(PEOPLE, 2)
    buyer, seller = buying.name, selling.name
    product, city, day = rng.choice(list(PRODUCTS)), rng.choice(CITIES), rng.choice(WEEKDAYS)
    asked = rng.randrange(30, 120, 5)
    agreed = asked - rng.choice((5, 10, 15))
    months = rng.choice(("two", "three", "four", "five", "six", "nine"))
    own_words, retold = rng.choice(_REASONS_TO_SELL)
    questions = (
        (f"How much will {buyer} pay?", f"{buyer} will pay {agreed} dollars."),
        (f"How old is the {product}?", f"The {product} is {months} months old."),
        (f"When can {buyer} pick up the {product}?", f"{buyer} can pick it up on {day}."),
        (
            f"Why is {seller} selling the {product}?",
            f"{seller} is selling it because {selling.subject} {retold.format(city=city)}.",
        ),
    )
    greeting = phrase(
        rng,
        (
            "Hello {seller}, is the {product} still for sale?",
            "Hi {seller}, I saw your advert for the {product}. Do you still have it?",
        ),
        seller=seller,
        product=product,
    )
    lines = [
        greeting,
        rng.choice(("Yes, certainly.", "Yes!")) + f" It is {months} months old and I want {asked} "
        "dollars for it.",
        rng.choice(("Why are you selling it?", "May I ask why you are selling it?")),
        f"Only because {own_words.format(city=city)}.",
        rng.choice((f"Would you take {agreed} dollars?", f"I could pay {agreed} dollars.")),
        f"Agreed. You can pick it up on {day}.",
    ]
    summaries = (
        f"{buyer} will buy {seller}'s {months}-month-old {product} for {agreed} dollars and pick "
        f"it up on {day}.",
        f"{seller} agrees to sell a {months}-month-old {product} to {buyer} for {agreed} dollars, "
        f"to be picked up on {day}.",
    )
    return Dialogue(_transcript((buyer, seller), lines), rng.choice(summaries), questions)
