"""Short puzzles about words and everyday knowledge."""

from __future__ import annotations

import random
from collections.abc import Sequence

from curate.demo_data.vocabulary import CITIES, FOODS, PEOPLE, ROLES
from curate.demo_data.wording import TaskFamily, instruct, join_words, phrase

_RELATIONS = (
    (
        ("puppy", "dog"),
        ("kitten", "cat"),
        ("calf", "cow"),
        ("lamb", "sheep"),
        ("foal", "horse"),
        ("cub", "bear"),
        ("duckling", "duck"),
        ("chick", "hen"),
        ("tadpole", "frog"),
        ("caterpillar", "butterfly"),
    ),
    (
        ("hot", "cold"),
        ("tall", "short"),
        ("early", "late"),
        ("full", "empty"),
        ("wet", "dry"),
        ("heavy", "light"),
        ("loud", "quiet"),
        ("near", "far"),
        ("open", "closed"),
        ("rich", "poor"),
    ),
    (
        ("painter", "brush"),
        ("carpenter", "saw"),
        ("baker", "oven"),
        ("plumber", "wrench"),
        ("dentist", "drill"),
        ("gardener", "spade"),
        ("tailor", "needle"),
        ("writer", "pen"),
        ("hairdresser", "scissors"),
        ("astronomer", "telescope"),
    ),
    (
        ("Lisbon", "Portugal"),
        ("Oslo", "Norway"),
        ("Cairo", "Egypt"),
        ("Lima", "Peru"),
        ("Prague", "Czechia"),
        ("Dublin", "Ireland"),
        ("Nairobi", "Kenya"),
        ("Hanoi", "Vietnam"),
        ("Riga", "Latvia"),
        ("Tunis", "Tunisia"),
    ),
    (
        ("bee", "hive"),
        ("bird", "nest"),
        ("spider", "web"),
        ("horse", "stable"),
        ("pig", "sty"),
        ("rabbit", "burrow"),
        ("dog", "kennel"),
        ("bat", "cave"),
        ("mole", "tunnel"),
        ("bear", "den"),
    ),
    (
        ("page", "book"),
        ("key", "piano"),
        ("petal", "flower"),
        ("wheel", "bicycle"),
        ("sleeve", "shirt"),
        ("branch", "tree"),
        ("brick", "wall"),
        ("finger", "hand"),
        ("string", "guitar"),
        ("player", "team"),
    ),
    (
        ("grape", "wine"),
        ("flour", "bread"),
        ("milk", "cheese"),
        ("clay", "pot"),
        ("wool", "scarf"),
        ("sand", "glass"),
        ("wood", "table"),
        ("tomato", "ketchup"),
        ("cocoa", "chocolate"),
        ("olive", "oil"),
    ),
    (
        ("walk", "walked"),
        ("go", "went"),
        ("sing", "sang"),
        ("write", "wrote"),
        ("buy", "bought"),
        ("find", "found"),
        ("teach", "taught"),
        ("swim", "swam"),
        ("drive", "drove"),
        ("see", "saw"),
    ),
)


def analogy(rng: random.Random) -> tuple[str, str]:
    """Complete an analogy between two pairs of words."""
    relation = rng.choice(_RELATIONS)
    (first, second), (third, answer) = rng.sample(relation, 2)
    wrong = [pair[1] for pair in relation if pair[1] not in (second, answer)]
    options = rng.sample([answer, *rng.sample(wrong, 2)], 3)
    text = phrase(
        rng,
        (
            "{first} is to {second} as {third} is to what?",
            "{first} goes with {second}, and {third} goes with one of these: {options}.",
            "{first} : {second} = {third} : ? ({options})",
        ),
        first=first,
        second=second,
        third=third,
        options=join_words(options, link="or"),
    )
    prompt = instruct(
        rng,
        (
            "complete this analogy with one word",
            "write down the word that is missing in this comparison",
            "find the word that goes with {third} as {second} goes with {first}",
        ),
        text,
        first=first,
        second=second,
        third=third,
    )
    return prompt, answer


_CATEGORIES = {
    "cities": CITIES,
    "foods": FOODS,
    "occupations": ROLES,
    "electrical devices": (
        "blender",
        "camera",
        "desk fan",
        "hair dryer",
        "headset",
        "radio",
        "rice cooker",
        "tablet",
        "vacuum cleaner",
    ),
    "first names": tuple(person.name for person in PEOPLE),
    "animals": (
        "badger",
        "camel",
        "dolphin",
        "eagle",
        "falcon",
        "giraffe",
        "otter",
        "salmon",
        "tiger",
        "wolf",
    ),
    "musical instruments": (
        "accordion",
        "cello",
        "drum",
        "flute",
        "guitar",
        "harp",
        "oboe",
        "trumpet",
        "violin",
    ),
    "means of transport": (
        "bicycle",
        "bus",
        "canoe",
        "ferry",
        "lorry",
        "scooter",
        "tractor",
        "train",
        "tram",
    ),
}


def odd_one_out(rng: random.Random) -> tuple[str, str]:
    """Find the word that belongs to another category than the others."""
    common, other = rng.sample(list(_CATEGORIES), 2)
    misfit = rng.choice(_CATEGORIES[other])
    words = rng.sample(_CATEGORIES[common], rng.choice((3, 4)))
    words.insert(rng.randint(0, len(words)), misfit)
    prompt = instruct(
        rng,
        (
            "find the word that does not belong with the others and say why",
            "write down the odd one out and give the reason",
            "say which of these words is of a different kind, and why",
        ),
        ", ".join(words),
    )
    return prompt, f"{misfit}: the others are {common}."


_TOOLS = (
    ("cut a sheet of paper in half", "scissors"),
    ("see something in a dark cellar", "a torch"),
    ("stay dry on the way to the bus", "an umbrella"),
    ("get rid of crumbs on the floor", "a broom"),
    ("find out where north is in a forest", "a compass"),
    ("know how wide a table is", "a tape measure"),
    ("boil water for tea", "a kettle"),
    ("check whether a child has a fever", "a thermometer"),
    ("tighten a loose screw", "a screwdriver"),
    ("dig a hole for a young tree", "a spade"),
    ("look at the craters of the moon", "a telescope"),
    ("keep a bicycle from being stolen", "a padlock"),
    ("reach a lamp on a high ceiling", "a ladder"),
    ("smooth a creased shirt", "an iron"),
    ("get across a wide lake", "a boat"),
    ("sew a button back on", "a needle"),
    ("wake up at six tomorrow", "an alarm clock"),
    ("weigh flour for a cake", "kitchen scales"),
    ("remove a pencil mark", "an eraser"),
    ("serve soup from a big pot", "a ladle"),
)
_SIGHTS = (
    ("shelves full of books to borrow", "in a library"),
    ("a row of planes waiting to take off", "at an airport"),
    ("a surgeon washing her hands", "in a hospital"),
    ("a lifeguard watching swimmers", "at a swimming pool"),
    ("fresh loaves cooling on racks", "in a bakery"),
    ("a tractor and a barn full of hay", "on a farm"),
    ("a judge listening to a lawyer", "in a courtroom"),
    ("actors behind a heavy red curtain", "in a theatre"),
    ("lions and penguins behind glass", "at a zoo"),
    ("a vault with a thick steel door", "in a bank"),
    ("thirty desks in front of a blackboard", "in a school"),
    ("test tubes next to a microscope", "in a laboratory"),
    ("travellers waiting on a platform", "at a railway station"),
    ("deck chairs, shells and sandcastles", "on a beach"),
)
_CAUSES = (
    ("leaves an ice cream in the sun for an hour", "It melts."),
    ("puts a tray of water in the freezer overnight", "It turns into ice."),
    ("drops a wine glass on a stone floor", "It breaks."),
    ("forgets to water a pot plant for two months", "It dries up and dies."),
    ("leaves a slice of bread in the toaster for far too long", "It gets burnt."),
    ("lets go of a balloon filled with helium", "It floats away."),
    ("leaves an unpainted iron gate in the rain for years", "It gets rusty."),
    ("throws a heavy stone into a pond", "It sinks."),
    ("stirs a spoonful of sugar into hot tea", "It dissolves."),
    ("leaves a carton of milk out of the fridge for a week", "It turns sour."),
    ("blows out a candle", "It stops burning."),
    ("lets go of a ball at the top of a slope", "It rolls down."),
)


def common_sense(rng: random.Random) -> tuple[str, str]:
    """Answer a multiple-choice question about everyday life."""
    person = rng.choice(PEOPLE)
    kind: Sequence[tuple[str, str]] = rng.choice((_TOOLS, _TOOLS, _SIGHTS, _CAUSES))
    situation, answer = rng.choice(kind)
    if kind is _TOOLS:
        question = f"{person.name} wants to {situation}. What will help {person.object} most?"
    elif kind is _SIGHTS:
        question = f"{person.name} sees {situation}. Where is {person.subject} most likely to be?"
    else:
        question = f"{person.name} {situation}. What will most likely happen to it?"
    wrong = rng.sample([other for _, other in kind if other != answer], 3)
    options = rng.sample([answer, *wrong], 4)
    lettered = [f"{letter}) {option}" for letter, option in zip("ABCD", options, strict=True)]
    prompt = instruct(
        rng,
        (
            "choose the right answer to this question and repeat it with its letter",
            "write down the most sensible answer to this question with its letter",
            "answer this question with one of the four options and its letter",
        ),
        "\n".join((question, *lettered)),
    )
    return prompt, lettered[options.index(answer)]


_RHYMES = (
    ("cat", "hat", "mat", "bat"),
    ("light", "night", "kite", "white"),
    ("tree", "sea", "tea"),
    ("rain", "train", "lane", "plane"),
    ("boat", "coat", "goat", "note"),
    ("door", "floor", "four", "more"),
    ("cake", "lake", "steak", "snake"),
    ("moon", "spoon", "tune", "noon"),
    ("clock", "rock", "sock", "lock"),
    ("house", "mouse", "blouse"),
    ("bell", "shell", "smell"),
    ("fish", "dish", "wish"),
    ("ring", "king", "spring", "string"),
    ("bear", "chair", "hair", "square"),
)


_PLAIN_WORDS = (*CITIES, *FOODS, *ROLES)
_ALL_WORDS = (*_PLAIN_WORDS, *(person.name for person in PEOPLE))


def letter_puzzle(rng: random.Random) -> tuple[str, str]:
    """Play with the letters and sounds of words."""
    return rng.choice((_last_letters, _count_letter, _backwards, _longest, _rhyme))(rng)


def _last_letters(rng: random.Random) -> tuple[str, str]:
    words = rng.sample(_ALL_WORDS, rng.choice((3, 4, 5)))
    prompt = instruct(
        rng,
        (
            "take the last letter of each of these words and write them together",
            "join the final letters of the words into one new word",
        ),
        ", ".join(words),
    )
    return prompt, "".join(word[-1] for word in words)


def _count_letter(rng: random.Random) -> tuple[str, str]:
    words = " ".join(rng.sample(_ALL_WORDS, 3)).lower()
    letter = rng.choice([character for character in words if character != " "])
    prompt = instruct(
        rng,
        (
            "count how often the letter {letter} occurs in these words",
            "say how many times these words contain the letter {letter}",
        ),
        words,
        letter=letter,
    )
    return prompt, str(words.count(letter))


def _backwards(rng: random.Random) -> tuple[str, str]:
    word, other = (drawn.lower() for drawn in rng.sample(_PLAIN_WORDS, 2))
    prompt = instruct(
        rng,
        (
            "spell each of these words backwards, without changing their order",
            "write down these words with the letters of each in reverse order",
        ),
        f"{word} {other}",
    )
    return prompt, f"{word[::-1]} {other[::-1]}"


def _longest(rng: random.Random) -> tuple[str, str]:
    longest = rng.choice([word for word in _PLAIN_WORDS if len(word) >= 7])
    shorter = [word for word in _PLAIN_WORDS if len(word) < len(longest)]
    words = [*rng.sample(shorter, 3), longest]
    rng.shuffle(words)
    prompt = instruct(
        rng,
        (
            "find the word with the most letters and say how many it has",
            "write down the longest of these words and its number of letters",
        ),
        ", ".join(words),
    )
    return prompt, f"{longest}, with {len(longest)} letters"


def _rhyme(rng: random.Random) -> tuple[str, str]:
    group, *others = rng.sample(_RHYMES, 4)
    word, answer = rng.sample(group, 2)
    options = [answer, *(rng.choice(other) for other in others)]
    rng.shuffle(options)
    prompt = instruct(
        rng,
        (
            "find the word in this list that rhymes with {word}",
            "write down which of these words is a rhyme for {word}",
        ),
        ", ".join(options),
        word=word,
    )
    return prompt, answer


PUZZLE_TASKS: dict[str, TaskFamily] = {
    "analogy": analogy,
    "odd_one_out": odd_one_out,
    "common_sense": common_sense,
    "letter_puzzle": letter_puzzle,
}
