"""Word lists that several families draw from.

Families share people, cities, products and actions on purpose: if each task had a vocabulary of
its own, counting common words would be enough to tell which task a row belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """A first name with the pronouns that go with it."""

    name: str
    subject: str
    object: str
    possessive: str


@dataclass(frozen=True)
class Action:
    """Something a person can do to a thing, in the verb forms the rewriting tasks need."""

    base: str
    past: str
    participle: str
    thing: str
    plural: bool
    similar_past: str

    @property
    def was(self) -> str:
        """The past form of *to be* that agrees with the thing."""
        return "were" if self.plural else "was"


@dataclass(frozen=True)
class Aspect:
    """A side of a product that reviewers mention: noun phrases for both verdicts, and remarks."""

    praise: str
    complaint: str
    pleased: tuple[str, ...]
    annoyed: tuple[str, ...]


_WOMEN = (
    "Amara",
    "Beatriz",
    "Chiara",
    "Dalia",
    "Elena",
    "Farah",
    "Greta",
    "Hana",
    "Ingrid",
    "Jana",
    "Keiko",
    "Leila",
    "Maria",
    "Nadia",
    "Olga",
    "Priya",
    "Rosa",
    "Sofia",
    "Tamsin",
    "Wanda",
)
_MEN = (
    "Anton",
    "Boris",
    "Carlos",
    "Daniel",
    "Emil",
    "Felix",
    "Goran",
    "Hugo",
    "Ivan",
    "Jonas",
    "Karim",
    "Luca",
    "Marek",
    "Nils",
    "Omar",
    "Pavel",
    "Rafael",
    "Stefan",
    "Tariq",
    "Victor",
)

PEOPLE = tuple(
    [Person(name, "she", "her", "her") for name in _WOMEN]
    + [Person(name, "he", "him", "his") for name in _MEN]
)

SURNAMES = (
    "Almeida",
    "Berg",
    "Castillo",
    "Dvorak",
    "Eklund",
    "Fischer",
    "Haddad",
    "Ito",
    "Jensen",
    "Kowalski",
    "Lindqvist",
    "Moretti",
    "Novak",
    "Okafor",
    "Petrov",
    "Rossi",
    "Sato",
    "Vargas",
)

CITIES = (
    "Accra",
    "Austin",
    "Bergen",
    "Bologna",
    "Boston",
    "Cairo",
    "Cork",
    "Denver",
    "Dublin",
    "Ghent",
    "Hanoi",
    "Jaipur",
    "Krakow",
    "Kyoto",
    "Leeds",
    "Lima",
    "Lisbon",
    "Lyon",
    "Mumbai",
    "Nairobi",
    "Osaka",
    "Oslo",
    "Perth",
    "Porto",
    "Prague",
    "Quito",
    "Riga",
    "Seville",
    "Tallinn",
    "Toronto",
    "Tunis",
    "Turin",
)

COMPANIES = (
    "Alderwood",
    "Brightwater",
    "Copperline",
    "Eastgate",
    "Fernhill",
    "Greystone",
    "Halden",
    "Kestrel",
    "Larkfield",
    "Northwind",
    "Redleaf",
    "Silverbrook",
)

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

ROLES = (
    "accountant",
    "architect",
    "baker",
    "carpenter",
    "dentist",
    "driver",
    "editor",
    "electrician",
    "engineer",
    "gardener",
    "librarian",
    "mechanic",
    "nurse",
    "painter",
    "pharmacist",
    "plumber",
    "teacher",
    "translator",
)

DOCUMENTS = (
    "the budget report",
    "the draft contract",
    "the guest list",
    "the travel invoice",
    "the training schedule",
    "the survey summary",
    "the floor plan",
    "the product catalogue",
    "the meeting agenda",
    "the safety checklist",
    "the price list",
    "the annual review",
)

FOODS = (
    "apple",
    "banana",
    "bread",
    "butter",
    "carrot",
    "cheese",
    "cherry",
    "garlic",
    "ginger",
    "honey",
    "lemon",
    "lentil",
    "mango",
    "melon",
    "mushroom",
    "noodle",
    "olive",
    "onion",
    "orange",
    "pasta",
    "peach",
    "pepper",
    "plum",
    "potato",
    "pumpkin",
    "rice",
    "spinach",
    "tomato",
    "walnut",
)

ACTIONS = (
    Action("repair", "repaired", "repaired", "the station clock", False, "fixed"),
    Action("paint", "painted", "painted", "the village hall", False, "put fresh paint on"),
    Action("organise", "organised", "organised", "the charity concert", False, "arranged"),
    Action("photograph", "photographed", "photographed", "the old bridges", True, "took photos of"),
    Action("design", "designed", "designed", "the new playground", False, "drew up the plans for"),
    Action("sell", "sold", "sold", "the antique maps", True, "found a buyer for"),
    Action("find", "found", "found", "the missing keys", True, "located"),
    Action("deliver", "delivered", "delivered", "the festival posters", True, "dropped off"),
    Action("bake", "baked", "baked", "the wedding cake", False, "made"),
    Action("restore", "restored", "restored", "the damaged painting", False, "renovated"),
    Action("chair", "chaired", "chaired", "the budget meeting", False, "led"),
    Action("film", "filmed", "filmed", "the school play", False, "made a video of"),
    Action("write", "wrote", "written", "the visitor guide", False, "was the author of"),
    Action("inspect", "inspected", "inspected", "the water pumps", True, "examined"),
    Action("open", "opened", "opened", "the art exhibition", False, "officially launched"),
    Action("buy", "bought", "bought", "the second-hand piano", False, "purchased"),
    Action("rescue", "rescued", "rescued", "the stray kittens", True, "saved"),
    Action("check", "checked", "checked", "the building plans", True, "went over"),
    Action("host", "hosted", "hosted", "the chess tournament", False, "was the host of"),
    Action("record", "recorded", "recorded", "the folk songs", True, "made a recording of"),
    Action("build", "built", "built", "the wooden stage", False, "constructed"),
    Action("collect", "collected", "collected", "the survey forms", True, "gathered"),
    Action("publish", "published", "published", "the local cookbook", False, "brought out"),
    Action("test", "tested", "tested", "the fire alarms", True, "tried out"),
    Action("teach", "taught", "taught", "the evening class", False, "gave"),
    Action("move", "moved", "moved", "the bronze statue", False, "shifted"),
    Action("clean", "cleaned", "cleaned", "the public fountain", False, "scrubbed"),
    Action("draw", "drew", "drawn", "the bicycle map", False, "sketched"),
)

ASPECTS = {
    "battery": Aspect(
        "long battery life",
        "short battery life",
        ("It lasts for ages on one charge.", "I only have to charge it once a week."),
        ("The battery is flat by lunchtime.", "It needs charging every few hours."),
    ),
    "sound": Aspect(
        "rich sound",
        "tinny sound",
        ("Voices come through warm and full.", "Music sounds clear and deep."),
        ("Everything sounds as if it came out of a tin.", "There is a constant crackle."),
    ),
    "build": Aspect(
        "solid construction",
        "flimsy construction",
        ("It has survived two falls without a scratch.", "The joints and seams feel sturdy."),
        ("A piece snapped off in the first week.", "It creaks and bends when I pick it up."),
    ),
    "comfort": Aspect(
        "great comfort",
        "poor comfort",
        ("I can use it for hours without aching.", "It is pleasant to the touch."),
        ("It starts to hurt after ten minutes of use.", "The edges dig in."),
    ),
    "delivery": Aspect(
        "fast delivery",
        "slow delivery",
        ("The parcel was here the next morning.", "It arrived two days earlier than promised."),
        ("The parcel took five weeks to get here.", "The courier left it out in the rain."),
    ),
    "instructions": Aspect(
        "clear instructions",
        "confusing instructions",
        ("The booklet explains every step.", "Thanks to the drawings I had it set up in minutes."),
        ("The booklet shows a different model.", "Half of the manual makes no sense."),
    ),
    "support": Aspect(
        "helpful support",
        "unhelpful support",
        ("The shop answered my question within an hour.", "A kind man on the phone helped me."),
        ("Nobody has answered my emails.", "The helpline cut me off twice."),
    ),
    "noise": Aspect(
        "quiet operation",
        "noisy operation",
        ("You can hardly hear it running.", "It does not even wake the baby."),
        ("It rattles so loudly that the dog hides.", "We have to shout over it."),
    ),
    "cleaning": Aspect(
        "easy cleaning",
        "tedious cleaning",
        ("A quick wipe and it is spotless.", "All the parts come apart for rinsing."),
        ("Dirt gets stuck in every corner.", "It takes me half an hour to clean."),
    ),
    "design": Aspect(
        "elegant design",
        "ugly design",
        ("It looks even better than in the pictures.", "Guests keep asking where I found it."),
        ("It looks nothing like the pictures.", "The colour is a strange greenish brown."),
    ),
    "controls": Aspect(
        "simple controls",
        "awkward controls",
        ("My grandfather worked it out at once.", "One button does everything."),
        ("I still cannot find the right button.", "Every setting is buried in a menu."),
    ),
    "price": Aspect(
        "fair price",
        "steep price",
        ("It cost half as much as its rivals.", "For this money you will not find better."),
        ("It costs twice what it is worth.", "I saw the same thing for far less elsewhere."),
    ),
    "size": Aspect(
        "handy size",
        "clumsy size",
        ("It fits into the smallest cupboard.", "It takes up hardly any space."),
        ("It is far too big for normal use.", "There is no cupboard it fits into."),
    ),
    "display": Aspect(
        "sharp display",
        "dim display",
        ("I can read the screen even in sunshine.", "The numbers are crisp and bright."),
        ("The screen is too dark to read.", "Tiny grey figures make it hard to read."),
    ),
}

_ANY = ("delivery", "support", "price", "design", "build")
_DEVICE = ("instructions", "controls", *_ANY)

PRODUCTS: dict[str, tuple[str, ...]] = {
    "alarm clock": ("display", "size", *_DEVICE),
    "backpack": ("comfort", "cleaning", *_ANY),
    "blender": ("noise", "cleaning", "size", *_DEVICE),
    "camera": ("battery", "display", "size", *_DEVICE),
    "camping lamp": ("battery", "size", *_ANY),
    "coffee machine": ("noise", "cleaning", "size", *_DEVICE),
    "desk fan": ("noise", "cleaning", "size", *_ANY),
    "e-reader": ("battery", "display", "size", *_DEVICE),
    "electric razor": ("battery", "noise", "cleaning", *_ANY),
    "hair dryer": ("noise", "controls", "size", *_ANY),
    "headset": ("battery", "sound", "comfort", *_ANY),
    "keyboard": ("battery", "comfort", "cleaning", *_ANY),
    "kitchen radio": ("sound", "display", *_DEVICE),
    "massage cushion": ("noise", "comfort", *_DEVICE),
    "office chair": ("comfort", "cleaning", "instructions", *_ANY),
    "portable speaker": ("battery", "sound", "size", *_ANY),
    "rice cooker": ("cleaning", "size", *_DEVICE),
    "sewing machine": ("noise", "size", *_DEVICE),
    "smart watch": ("battery", "display", "comfort", *_DEVICE),
    "tablet": ("battery", "display", "sound", *_DEVICE),
    "toothbrush": ("battery", "noise", "cleaning", *_ANY),
    "vacuum cleaner": ("noise", "cleaning", *_DEVICE),
}
