"""Rewriting and judging sentences.

Nearly all of these families start from the same events; the grammar family also corrects sentences
of the phrase-book that the translations use.
"""

from __future__ import annotations

import dataclasses
import json
import random

from curate.demo_data.phrasebook import draw_sentence
from curate.demo_data.scenes import Event, draw_event
from curate.demo_data.vocabulary import ACTIONS, CITIES, DOCUMENTS, PEOPLE, WEEKDAYS
from curate.demo_data.wording import TaskFamily, instruct, phrase, sentence_case


def event_to_json(rng: random.Random) -> tuple[str, str]:
    """Extract who, where and when from a sentence into a JSON object."""
    event = draw_event(rng)
    prompt = instruct(
        rng,
        (
            "write the person, place and date of this sentence as a JSON object",
            "say who, where and when as a JSON object with the keys person, place and date",
            "turn this sentence into a JSON record of its person, place and date",
            "rewrite this sentence as JSON with nothing but the keys person, place and date",
        ),
        rng.choice((event.active, event.passive, event.reworded))(rng),
    )
    record = {"person": event.person.name, "place": event.city, "date": event.when}
    return prompt, json.dumps(record)


def passive_voice(rng: random.Random) -> tuple[str, str]:
    """Turn an active sentence into the passive voice."""
    event = draw_event(rng)
    prompt = instruct(
        rng,
        (
            "rewrite this sentence in the passive voice",
            "turn this sentence from the active into the passive voice, with the same meaning",
            "rewrite this sentence so that the thing becomes its subject instead of the person",
        ),
        event.active(rng),
    )
    thing = sentence_case(event.action.thing)
    verb = f"{event.action.was} {event.action.participle}"
    return prompt, f"{thing} {verb} by {event.person.name} in {event.city} on {event.when}."


def active_voice(rng: random.Random) -> tuple[str, str]:
    """Turn a passive sentence into the active voice."""
    event = draw_event(rng)
    prompt = instruct(
        rng,
        (
            "rewrite this sentence in the active voice",
            "turn this sentence from the passive into the active voice, with the same meaning",
            "rewrite this sentence so that the person becomes its subject instead of the thing",
        ),
        event.passive(rng),
    )
    action = event.action
    done = f"{event.person.name} {action.past} {action.thing}"
    return prompt, f"{done} in {event.city} on {event.when}."


def paraphrase_check(rng: random.Random) -> tuple[str, str]:
    """Decide whether two sentences say the same thing."""
    event = draw_event(rng)
    same = rng.random() < 0.5
    other = event if same else _altered(rng, event)
    second = rng.choice((other.passive, other.reworded))(rng)
    prompt = instruct(
        rng,
        (
            "say whether these two sentences mean the same (yes or no)",
            "decide if the second sentence is a paraphrase of the first and answer yes or no",
            "compare the two sentences and write yes if they report the same facts, otherwise no",
        ),
        f"1. {event.active(rng)}\n2. {second}",
    )
    return prompt, "Yes" if same else "No"


def _altered(rng: random.Random, event: Event) -> Event:
    """Change one fact of an event, so that it tells a different story in similar words."""
    detail = rng.choice(("person", "action", "city", "day"))
    if detail == "person":
        others = [person for person in PEOPLE if person != event.person]
        return dataclasses.replace(event, person=rng.choice(others))
    if detail == "action":
        actions = [action for action in ACTIONS if action != event.action]
        return dataclasses.replace(event, action=rng.choice(actions))
    if detail == "city":
        cities = [city for city in CITIES if city != event.city]
        return dataclasses.replace(event, city=rng.choice(cities))
    year = event.day.year + rng.choice((-2, -1, 1, 2))
    return dataclasses.replace(event, day=event.day.replace(year=year, day=min(event.day.day, 28)))


_HYPOTHESES = {
    "entailment": (
        "{name} was in {city} on {when}.",
        "{Thing} {was} {participle} by {name}.",
        "{name} {past} {thing}.",
        "Something happened to {thing} in {city}.",
        "{city} is where {name} {past} {thing}.",
    ),
    "contradiction": (
        "{name} was not in {city} on {when}.",
        "{name} has never set foot in {city}.",
        "It was in {other_city}, not in {city}, that {name} {past} {thing}.",
        "{other_name}, not {name}, {past} {thing}.",
        "Nobody {past} {thing} in {city}.",
    ),
    "neutral": (
        "{name} was paid well for it.",
        "It was raining in {city} on {when}.",
        "{other_name} lives in {city}.",
        "{name} had promised a friend to do it.",
        "{name} travelled to {city} by train.",
    ),
}


def inference(rng: random.Random) -> tuple[str, str]:
    """Judge whether a sentence follows from a premise, contradicts it, or neither."""
    event = draw_event(rng)
    label = rng.choice(list(_HYPOTHESES))
    action = event.action
    hypothesis = phrase(
        rng,
        _HYPOTHESES[label],
        name=event.person.name,
        city=event.city,
        when=event.when,
        thing=action.thing,
        Thing=sentence_case(action.thing),
        was=action.was,
        past=action.past,
        participle=action.participle,
        other_name=rng.choice([person.name for person in PEOPLE if person != event.person]),
        other_city=rng.choice([city for city in CITIES if city != event.city]),
    )
    prompt = instruct(
        rng,
        (
            "say whether the second sentence follows from the first (entailment), cannot be true "
            "then (contradiction) or may be true or not (neutral)",
            "decide if the first sentence proves or rules out the second and answer entailment, "
            "contradiction or neutral",
            "compare the two sentences and write entailment, neutral or contradiction",
        ),
        f"1. {rng.choice((event.active, event.reworded))(rng)}\n2. {hypothesis}",
    )
    return prompt, label


def grammar_fix(rng: random.Random) -> tuple[str, str]:
    """Correct the single grammar mistake in a sentence."""
    wrong, right = rng.choice((_agreement_mistake, _tense_mistake, _auxiliary_mistake))(rng)
    prompt = instruct(
        rng,
        (
            "rewrite this sentence without its grammar mistake",
            "correct the grammar of this sentence and change nothing else",
            "turn this sentence into correct English",
            "find the mistake in this sentence and write it correctly",
        ),
        wrong,
    )
    return prompt, right


def _agreement_mistake(rng: random.Random) -> tuple[str, str]:
    sentence = draw_sentence(rng)
    return sentence.faulty_english, sentence.english


def _tense_mistake(rng: random.Random) -> tuple[str, str]:
    event = draw_event(rng)
    right = event.active(rng)
    return right.replace(f" {event.action.past} ", f" {event.action.base} "), right


def _auxiliary_mistake(rng: random.Random) -> tuple[str, str]:
    event = draw_event(rng)
    right = event.passive(rng)
    wrong = "was" if event.action.plural else "were"
    return right.replace(f" {event.action.was} ", f" {wrong} "), right


_REGISTERS = (
    ("can u send me {thing} by {day}?", "Could you please send me {thing} by {day}?"),
    ("gonna be late on {day}, sorry!", "I apologise in advance, as I will be late on {day}."),
    ("can't make it on {day}.", "Unfortunately, I am unable to attend on {day}."),
    ("no clue where {thing} is.", "I am afraid that I do not know where {thing} is."),
    ("lemme know if {day} is ok.", "Please let me know whether {day} is convenient for you."),
    ("pls look at {thing} asap.", "I would be grateful if you could review {thing} promptly."),
    ("{thing} looks awesome!", "I am very impressed with {thing}."),
    ("wanna chat about {thing} on {day}?", "Would you be available to discuss {thing} on {day}?"),
    ("totally forgot about {thing}, sorry.", "I sincerely apologise for overlooking {thing}."),
    ("stuff in {thing} looks wrong.", "I believe that {thing} contains some errors."),
    ("gotta hand in {thing} by {day}.", "I am required to submit {thing} by {day}."),
    ("who's got {thing}?", "May I ask who has {thing} at present?"),
)
_SIGN_OFFS = (("thx!", "Thank you very much."), ("cheers", "With kind regards."), ("", ""))


def formal_rewrite(rng: random.Random) -> tuple[str, str]:
    """Rewrite a casual message in a formal tone."""
    name = rng.choice(PEOPLE).name
    things, days = rng.sample(DOCUMENTS, 2), rng.sample(WEEKDAYS, 2)
    hello = rng.choice((f"hey {name},", f"hi {name}!", f"yo {name},"))
    casual_bye, formal_bye = rng.choice(_SIGN_OFFS)
    requests = [
        (casual.format(thing=thing, day=day), formal.format(thing=thing, day=day))
        for (casual, formal), thing, day in zip(
            rng.sample(_REGISTERS, rng.choice((1, 2))), things, days, strict=False
        )
    ]
    text = " ".join([hello, *(casual for casual, _ in requests), casual_bye]).strip()
    body = " ".join(sentence_case(formal) for _, formal in requests)
    rewritten = f"Dear {name},\n\n{body}\n\n{formal_bye}".strip()
    prompt = instruct(
        rng,
        (
            "rewrite this message in a formal tone",
            "turn this message into polite business English",
            "rewrite this note so that it can be sent to a client",
        ),
        text,
    )
    return prompt, rewritten


LANGUAGE_TASKS: dict[str, TaskFamily] = {
    "event_to_json": event_to_json,
    "passive_voice": passive_voice,
    "active_voice": active_voice,
    "paraphrase_check": paraphrase_check,
    "inference": inference,
    "grammar_fix": grammar_fix,
    "formal_rewrite": formal_rewrite,
}
