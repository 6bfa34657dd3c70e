"""A toy trilingual phrase-book: simple sentences with their Spanish and French translations.

A sentence is put together from a subject, a verb with one of its objects, and optional words for
place and time. The word order of the three languages agrees for such sentences, so a translation
is correct as long as the verb form agrees with the subject.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

from curate.demo_data.wording import sentence_case


class Words(NamedTuple):
    """The same words in the three languages."""

    english: str
    spanish: str
    french: str


class Verb(NamedTuple):
    """A verb in the present tense; Spanish and French list the forms for I, she, we and they."""

    plain: str
    third: str
    spanish: tuple[str, str, str, str]
    french: tuple[str, str, str, str]
    objects: tuple[Words, ...]
    places: tuple[Words, ...]


_I, _SHE, _WE, _THEY = range(4)

_SUBJECTS = (
    (_I, Words("I", "", "je")),
    (_WE, Words("we", "", "nous")),
    (_THEY, Words("they", "ellos", "ils")),
    (_SHE, Words("my brother", "mi hermano", "mon frère")),
    (_SHE, Words("my sister", "mi hermana", "ma sœur")),
    (_SHE, Words("my grandmother", "mi abuela", "ma grand-mère")),
    (_SHE, Words("our friend", "nuestro amigo", "notre ami")),
    (_SHE, Words("the teacher", "el profesor", "le professeur")),
    (_SHE, Words("the cook", "el cocinero", "le cuisinier")),
    (_SHE, Words("the nurse", "la enfermera", "l'infirmière")),
    (_THEY, Words("my parents", "mis padres", "mes parents")),
    (_THEY, Words("the neighbours", "los vecinos", "les voisins")),
    (_THEY, Words("the tourists", "los turistas", "les touristes")),
    (_THEY, Words("the children", "los niños", "les enfants")),
)

_HOME = Words("at home", "en casa", "à la maison")
_MARKET = Words("at the market", "en el mercado", "au marché")
_PARK = Words("in the park", "en el parque", "dans le parc")
_STATION = Words("near the station", "cerca de la estación", "près de la gare")
_HOTEL = Words("at the hotel", "en el hotel", "à l'hôtel")
_VILLAGE = Words("in the village", "en el pueblo", "dans le village")
_LIBRARY = Words("in the library", "en la biblioteca", "à la bibliothèque")

_BREAD = Words("bread", "pan", "du pain")
_APPLES = Words("apples", "manzanas", "des pommes")
_FLOWERS = Words("flowers", "flores", "des fleurs")
_VEGETABLES = Words("vegetables", "verduras", "des légumes")
_SOUP = Words("soup", "sopa", "de la soupe")
_SALAD = Words("a salad", "una ensalada", "une salade")
_LETTER = Words("a letter", "una carta", "une lettre")
_BOOK = Words("a book", "un libro", "un livre")
_NEWSPAPER = Words("the newspaper", "el periódico", "le journal")
_POEMS = Words("poems", "poemas", "des poèmes")

_VERBS = (
    Verb(
        "buy",
        "buys",
        ("compro", "compra", "compramos", "compran"),
        ("achète", "achète", "achetons", "achètent"),
        (_BREAD, _APPLES, _FLOWERS, _VEGETABLES, _NEWSPAPER),
        (_MARKET, _STATION, _VILLAGE),
    ),
    Verb(
        "sell",
        "sells",
        ("vendo", "vende", "vendemos", "venden"),
        ("vends", "vend", "vendons", "vendent"),
        (_BREAD, _APPLES, _FLOWERS, _VEGETABLES, Words("fish", "pescado", "du poisson")),
        (_MARKET, _STATION, _VILLAGE),
    ),
    Verb(
        "eat",
        "eats",
        ("como", "come", "comemos", "comen"),
        ("mange", "mange", "mangeons", "mangent"),
        (_BREAD, _APPLES, _SOUP, _SALAD, Words("rice", "arroz", "du riz")),
        (_HOME, _PARK, _HOTEL),
    ),
    Verb(
        "drink",
        "drinks",
        ("bebo", "bebe", "bebemos", "beben"),
        ("bois", "boit", "buvons", "boivent"),
        (
            Words("coffee", "café", "du café"),
            Words("water", "agua", "de l'eau"),
            Words("tea with milk", "té con leche", "du thé au lait"),
        ),
        (_HOME, _PARK, _HOTEL),
    ),
    Verb(
        "read",
        "reads",
        ("leo", "lee", "leemos", "leen"),
        ("lis", "lit", "lisons", "lisent"),
        (_NEWSPAPER, _BOOK, _LETTER, _POEMS),
        (_HOME, _PARK, _LIBRARY),
    ),
    Verb(
        "write",
        "writes",
        ("escribo", "escribe", "escribimos", "escriben"),
        ("écris", "écrit", "écrivons", "écrivent"),
        (_LETTER, _POEMS, Words("a postcard", "una postal", "une carte postale")),
        (_HOME, _PARK, _LIBRARY),
    ),
    Verb(
        "prepare",
        "prepares",
        ("preparo", "prepara", "preparamos", "preparan"),
        ("prépare", "prépare", "préparons", "préparent"),
        (_SOUP, _SALAD, Words("a cake", "una tarta", "un gâteau")),
        (_HOME, _HOTEL),
    ),
    Verb(
        "clean",
        "cleans",
        ("limpio", "limpia", "limpiamos", "limpian"),
        ("nettoie", "nettoie", "nettoyons", "nettoient"),
        (
            Words("the kitchen", "la cocina", "la cuisine"),
            Words("the windows", "las ventanas", "les fenêtres"),
            Words("the car", "el coche", "la voiture"),
        ),
        (),
    ),
    Verb(
        "listen to",
        "listens to",
        ("escucho", "escucha", "escuchamos", "escuchan"),
        ("écoute", "écoute", "écoutons", "écoutent"),
        (
            Words("music", "música", "de la musique"),
            Words("the radio", "la radio", "la radio"),
            Words("old songs", "canciones antiguas", "de vieilles chansons"),
        ),
        (_HOME, _PARK),
    ),
    Verb(
        "study",
        "studies",
        ("estudio", "estudia", "estudiamos", "estudian"),
        ("étudie", "étudie", "étudions", "étudient"),
        (
            Words("history", "historia", "l'histoire"),
            Words("music", "música", "la musique"),
            Words("English", "inglés", "l'anglais"),
        ),
        (_HOME, _LIBRARY),
    ),
)

_TIMES = (
    Words("every morning", "cada mañana", "chaque matin"),
    Words("every day", "todos los días", "tous les jours"),
    Words("on Mondays", "los lunes", "le lundi"),
    Words("on Thursdays", "los jueves", "le jeudi"),
    Words("on Sundays", "los domingos", "le dimanche"),
    Words("in the evening", "por la noche", "le soir"),
    Words("in summer", "en verano", "en été"),
    Words("in winter", "en invierno", "en hiver"),
    Words("twice a week", "dos veces por semana", "deux fois par semaine"),
    Words("after work", "después del trabajo", "après le travail"),
)


@dataclass(frozen=True)
class Sentence:
    """A sentence in three languages, and the English one with a verb that does not agree."""

    english: str
    spanish: str
    french: str
    faulty_english: str


def draw_sentence(rng: random.Random) -> Sentence:
    """Draw a simple sentence, or two of them joined by *and* or *but*."""
    subjects, verbs = rng.sample(_SUBJECTS, 2), rng.sample(_VERBS, 2)
    parts = _draw_clause(rng, *subjects[0], verbs[0])
    if rng.random() < 0.5:
        second = _draw_clause(rng, *subjects[1], verbs[1])
        link = rng.choice((Words("and", "y", "et"), Words("but", "pero", "mais")))
        parts = Sentence(
            f"{parts.english}, {link.english} {second.english}",
            f"{parts.spanish}, {link.spanish} {second.spanish}",
            f"{parts.french}, {link.french} {second.french}",
            f"{parts.english}, {link.english} {second.faulty_english}",
        )
    texts = (parts.english, parts.spanish, parts.french, parts.faulty_english)
    return Sentence(*(sentence_case(text) + "." for text in texts))


def _draw_clause(rng: random.Random, person: int, subject: Words, verb: Verb) -> Sentence:
    rest = [rng.choice(verb.objects)]
    if verb.places and rng.random() < 0.6:
        rest.append(rng.choice(verb.places))
    if len(rest) == 1 or rng.random() < 0.7:
        rest.append(rng.choice(_TIMES))
    english, spanish, french = (" ".join(words) for words in zip(*rest, strict=True))
    right, wrong = (verb.third, verb.plain) if person == _SHE else (verb.plain, verb.third)
    if wrong == "read":
        wrong = "reading"  # "she read" would be correct, in the past tense
    french_verb = verb.french[person]
    french_start = f"{subject.french} {french_verb}"
    if subject.french == "je" and french_verb[0] in "aé":
        french_start = f"j'{french_verb}"
    return Sentence(
        f"{subject.english} {right} {english}",
        f"{subject.spanish} {verb.spanish[person]} {spanish}".strip(),
        f"{french_start} {french}",
        f"{subject.english} {wrong} {english}",
    )
