"""Everyday writing: recipes, replies to e-mails and instructions."""

from __future__ import annotations

import random

from curate.demo_data.guides import GUIDES
from curate.demo_data.vocabulary import CITIES, DOCUMENTS, PEOPLE, PRODUCTS, WEEKDAYS
from curate.demo_data.wording import (
    NUMBER_WORDS,
    TaskFamily,
    instruct,
    join_words,
    numbered,
    phrase,
    with_article,
)

_VEGETABLES = {
    "carrots": "Peel and slice the carrots",
    "mushrooms": "Wipe and quarter the mushrooms",
    "onions": "Peel and chop the onions",
    "peppers": "Cut the peppers into strips",
    "potatoes": "Peel and dice the potatoes",
    "pumpkin": "Cut the pumpkin into cubes",
    "spinach": "Wash the spinach well",
    "tomatoes": "Cut the tomatoes into wedges",
    "leeks": "Wash the leeks and cut them into rings",
    "fennel": "Trim the fennel and slice it thinly",
}
_PROTEINS = ("chickpeas", "tofu", "chicken", "salmon", "lentils", "prawns", "white beans")
_FLAVOURS = ("ginger", "garlic", "thyme", "rosemary", "cumin", "paprika", "chilli", "turmeric")
_GARNISHES = ("walnuts", "parsley", "coriander", "sesame seeds", "spring onions", "chopped mint")
_DISHES = {
    "soup": (
        "Soften the {vegetables} in a little oil for {short} minutes.",
        "Add the {protein}, the {flavour} and a litre of stock, and simmer for {long} minutes.",
        "Season, pour into bowls and top with the {garnish}.",
    ),
    "stir-fry": (
        "Heat some oil in a wok, cook the {protein} through and set aside.",
        "Fry the {vegetables} with the {flavour} over high heat for {short} minutes.",
        "Return the {protein} to the wok, toss well and scatter the {garnish} on top.",
    ),
    "traybake": (
        "Spread the {filling} on a baking tray.",
        "Drizzle with oil, season with the {flavour} and roast for {long} minutes.",
        "Sprinkle with the {garnish} and serve straight from the tray.",
    ),
    "curry": (
        "Warm the {flavour} in oil for a minute until it smells good.",
        "Add the {filling} with some coconut milk, and cook for {long} minutes.",
        "Serve on rice with the {garnish}.",
    ),
    "pasta dish": (
        "Boil the pasta and keep a cup of its water.",
        "Meanwhile fry the {filling} with the {flavour} for {short} minutes.",
        "Mix with the pasta and a little of its water, and finish with the {garnish}.",
    ),
}


def recipe_steps(rng: random.Random) -> tuple[str, str]:
    """Turn a list of ingredients into the numbered steps of a dish."""
    dish, guests = rng.choice(list(_DISHES)), rng.choice(NUMBER_WORDS[2:])
    vegetables = rng.sample(list(_VEGETABLES), 2)
    protein, flavour = rng.choice(_PROTEINS), rng.choice(_FLAVOURS)
    garnish = rng.choice(_GARNISHES)
    ingredients = rng.sample([*vegetables, protein, flavour, garnish], 5)
    prompt = instruct(
        rng,
        (
            "write a short recipe for a {dish} for {guests} people, in numbered steps",
            "turn these ingredients into a {dish} for {guests}, step by step",
            "explain how to cook a {dish} for {guests} friends from this list, step by step",
        ),
        f"Ingredients: {join_words(ingredients)}",
        dish=dish,
        guests=guests,
    )
    cooking = [
        step.format(
            vegetables=join_words(vegetables),
            filling=join_words([*vegetables, protein]),
            protein=protein,
            flavour=flavour,
            garnish=garnish,
            short=rng.randint(10, 15),
            long=rng.randrange(20, 40, 5),
        )
        for step in _DISHES[dish]
    ]
    preparation = [f"{_VEGETABLES[vegetable]}." for vegetable in vegetables]
    return prompt, numbered([*preparation, *cooking])


_REQUESTS = (
    (
        "Could you send me {thing} by {day}?",
        "I will send you {thing} by {day}.",
        "I cannot send you {thing} by {day}",
    ),
    (
        "Are you free on {day} to talk about {thing}?",
        "I am free on {day} and look forward to talking about {thing}.",
        "I am not free to talk about {thing} on {day}",
    ),
    (
        "Would you check {thing} for mistakes before {day}?",
        "I will gladly check {thing} before {day}.",
        "I will not manage to check {thing} before {day}",
    ),
    (
        "Can you join our team in {city} on {day}? We will discuss {thing}.",
        "I will be happy to join you in {city} on {day} to discuss {thing}.",
        "I cannot come to {city} on {day} to discuss {thing}",
    ),
    (
        "Would you write a few lines about the {product} for our shop in {city} by {day}?",
        "I will be glad to write a few lines about the {product} by {day}.",
        "I cannot write about the {product} by {day}",
    ),
)
_EXCUSES = (
    "I am travelling that week",
    "I am on holiday then",
    "I am moving house that week",
    "I will be at a wedding then",
    "I will be at a trade fair all week",
)


def email_reply(rng: random.Random) -> tuple[str, str]:
    """Answer an e-mail by accepting or declining what it asks for."""
    sender, receiver = (person.name for person in rng.sample(PEOPLE, 2))
    request, yes, no = rng.choice(_REQUESTS)
    slots = {
        "thing": rng.choice(DOCUMENTS),
        "day": rng.choice(WEEKDAYS),
        "city": rng.choice(CITIES),
        "product": rng.choice(list(PRODUCTS)),
    }
    email = f"Dear {receiver},\n\n{request.format(**slots)}\n\nBest wishes,\n{sender}"
    excuse = rng.choice(_EXCUSES)
    accepted = rng.random() < 0.5
    if accepted:
        wish, body = "accepts", yes.format(**slots)
    else:
        wish = f"declines because {excuse}"
        body = f"Unfortunately, {no.format(**slots)}, as {excuse}."
    prompt = instruct(
        rng,
        (
            "write a polite reply to this message that {wish}",
            "write down a short answer to this e-mail that {wish}",
            "answer this message in a friendly tone, with a reply that {wish}",
        ),
        email,
        wish=wish,
    )
    thanks = rng.choice(("Thank you for your message.", "Many thanks for writing to me."))
    goodbye = rng.choice(("Best wishes", "Kind regards"))
    return prompt, f"Dear {sender},\n\n{thanks} {body}\n\n{goodbye},\n{receiver}"


def how_to(rng: random.Random) -> tuple[str, str]:
    """Give step-by-step instructions for an everyday undertaking."""
    goal, steps = rng.choice(GUIDES)
    product = rng.choice(list(PRODUCTS))
    slots = {
        "city": rng.choice(CITIES),
        "n": rng.choice(NUMBER_WORDS[2:]),
        "product": product,
        "a_product": with_article(product),
        "thing": rng.choice(DOCUMENTS),
        "name": rng.choice(PEOPLE).name,
        "day": rng.choice(WEEKDAYS),
    }
    prompt = instruct(
        rng,
        (
            "explain step by step how to {goal}",
            "write a list of four numbered steps for someone who wants to {goal}",
            "tell me in four short steps how to {goal}",
        ),
        goal=goal.format(**slots),
    )
    return prompt, numbered([phrase(rng, step, **slots) for step in steps])


PRACTICAL_TASKS: dict[str, TaskFamily] = {
    "recipe_steps": recipe_steps,
    "email_reply": email_reply,
    "how_to": how_to,
}
