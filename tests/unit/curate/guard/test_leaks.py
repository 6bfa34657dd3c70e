"""Pool rows that repeat a target or a test example are found, and others are not."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airrep.records import Example
from curate.guard import overlap as overlap_module
from curate.guard.corpus import read_corpus
from curate.guard.leaks import LEAK_SHARE, in_tests, leaks
from curate.guard.overlap import find_overlap
from curate.guard.sketches import none

LINES = [
    "The heron waited by the frozen canal until a boy threw it half of his sandwich.",
    "Marta counts nine lighthouses on the chart, but only seven of them are still lit.",
    "Because the oven door was left ajar, forty loaves had to be given to the goats.",
    "Old postcards show a tramway where the ring road cuts through the vineyards today.",
    "When snow closes the upper pass, doctors reach the valley by rack railway instead.",
    "A violin maker in Cremona keeps his spruce boards under the bed for eleven years.",
    "Nobody told the night porter that the circus would be sleeping in the ballroom.",
    "Two rivers meet below the mill, one green with copper and the other nearly black.",
]


def find_leaks(pool, against, *, share=LEAK_SHARE):
    """As `examine` does, which has one share."""
    corpus = read_corpus(pool, *against.values())
    overlap = find_overlap(corpus, corpus.holds(0), in_tests(corpus), none)
    return tuple(leaks(corpus, overlap, pool, against, share).values())


def _flagged(pool, against, **options):
    return [removal.row for removal in find_leaks(pool, against, **options)]


@pytest.fixture
def pool(as_examples):
    return as_examples([(f"Is it true? {line}", "yes") for line in LINES[:6]])


@pytest.fixture
def asked(as_examples):
    """A row that repeats the text in the pool row 2, as given, and one that nobody repeats."""

    def build(prompt, completion="yes"):
        return {"test": as_examples([("Where is north?", "up there"), (prompt, completion)])}

    return build


@pytest.mark.parametrize(
    "prompt",
    [
        f"Is it true? {LINES[2]}",
        f"IS IT TRUE -- {LINES[2].lower()}",
        f"Is it true?\n\n\t{LINES[2].replace(' ', '  ').replace(',', ' ;')}",
        f"Is it true? {LINES[2].replace('forty', 'fifty')}",
        f"Is it true? {LINES[2].replace('goats', 'old goats')}",
    ],
    ids=["exact", "case", "layout", "a word changed", "a word added"],
)
def test_a_row_that_repeats_a_test_example_is_found(pool, asked, prompt):
    (leak,) = find_leaks(pool, asked(prompt))
    assert (leak.row, leak.id, leak.reason, leak.of) == (2, "2", "leak", "test 1")
    assert 0.5 < leak.share <= 1
    assert "the oven door was left ajar" in leak.span


def test_a_test_example_inside_a_longer_row_is_found(pool, as_examples, prose):
    long = f"{prose(1, 80)} {LINES[7]} {prose(2, 80)}"
    rows = as_examples([*((e.prompt, e.completion) for e in pool), (long, prose(3, 30))])
    assert _flagged(rows, {"test": as_examples([LINES[7]])}) == [6]


def test_a_row_that_holds_a_small_part_of_a_long_example_is_not_found(as_examples, prose):
    passage = prose(4, 300)
    part = " ".join(passage.split()[:60])
    assert _flagged(as_examples([part]), {"test": as_examples([passage])}) == []
    assert _flagged(as_examples([part]), {"test": as_examples([passage])}, share=0.1) == [0]


@pytest.mark.parametrize("length", [1, 200])
def test_the_same_prompt_with_another_completion_is_found(pool, asked, prose, length):
    test = asked(pool[4].prompt, prose(5, length))
    (leak,) = find_leaks(pool, test)
    assert leak.row == 4
    assert leak.span.startswith("Is it true? When snow closes the upper pass")
    assert "→" not in leak.span


def test_a_shared_instruction_is_no_leak(as_examples, prose):
    instruction = (
        "You are given a passage and should say in one sentence, as plainly as you can, what "
        "happens in it, without adding anything that is not there: "
    )
    rows = [(instruction + prose(20 + i, 9), prose(400 + i, 3)) for i in range(60)]
    pool, test = as_examples(rows[:50]), as_examples(rows[50:])
    assert _flagged(pool, {"test": test}) == []


def test_a_template_with_another_name_in_it_is_no_leak(as_examples):
    names = ["Ann", "Ben", "Cay", "Dov", "Eli", "Fay", "Gus", "Hal", "Ida", "Jon", "Kit",
             "Liv", "Mo", "Ned", "Ole", "Pam"]  # fmt: skip
    rows = [(f"In which town was the singer {name} born, and when was that?", f"{name}ville")
            for name in names]  # fmt: skip
    assert _flagged(as_examples(rows[:12]), {"test": as_examples(rows[12:])}) == []


def test_a_passage_that_one_question_shares_with_another_is_no_leak_if_many_share_it(
    as_examples, prose
):
    passage = prose(6, 60)
    rows = [(f"{passage} {prose(100 + i, 12)}?", prose(200 + i, 2)) for i in range(40)]
    assert _flagged(as_examples(rows[:30]), {"test": as_examples(rows[30:])}) == []


def test_short_examples_have_to_be_found_whole(as_examples):
    test = {"test": as_examples([("What is the capital of Peru?", "Lima")])}
    pool = [
        ("What is the capital of Chad?", "N'Djamena"),
        ("What is the capital of Chad, and who founded it?", "A commandant of the French"),
        ("what is the capital of peru", "lima"),
        ("Tell me: what is the capital of Peru? Lima. And of Chad?", "N'Djamena"),
    ]
    assert _flagged(as_examples(pool), test) == [2, 3]


def test_texts_of_one_or_two_words_only_leak_as_a_whole(as_examples):
    assert _flagged(as_examples(["Yes", "yes sir", "no"]), {"t": as_examples(["yes!"])}) == [0]


@pytest.mark.parametrize(
    "line",
    [
        "นักเรียนเดินไปโรงเรียนทุกวันในตอนเช้า",
        "黒い猫が古い橋の下で静かに眠っている",
        "Кіт спить під старим мостом, а дощ усе не вщухає до самого ранку",
        "القط ينام تحت الجسر القديم والمطر لا يتوقف حتى الصباح الباكر",
    ],
)
def test_leaks_are_found_in_any_script(as_examples, line, prose):
    test = {"test": as_examples([line])}
    pool = as_examples([prose(7, 20), f"{prose(8, 20)} {line} {prose(9, 20)}", line])
    assert _flagged(pool, test) == [1, 2]


def test_one_emoji_is_not_another(as_examples):
    assert _flagged(as_examples(["👍", "👎"]), {"test": as_examples(["👎"])}) == [1]


def test_the_example_that_a_row_repeats_most_of_is_named(as_examples, prose):
    passage = prose(10, 40)
    half = " ".join(passage.split()[:25])
    pool = as_examples([passage])
    against = {"targets": as_examples([half]), "test": as_examples([prose(11, 9), passage])}
    assert [leak.of for leak in find_leaks(pool, against)] == ["test 1"]
    against["targets"] = as_examples([passage])
    assert [leak.of for leak in find_leaks(pool, against)] == ["targets 0"]


@pytest.fixture(scope="module")
def mixed(as_examples, prose):
    """Rows that share much, something or nothing: 60 in the pool, 20 targets, 20 test rows."""
    rng = random.Random(3)
    passages = [prose(300 + i, 40).split() for i in range(12)]

    def row():
        words = list(rng.choice(passages))
        for _ in range(rng.choice([0, 2, 8])):
            words[rng.randrange(len(words))] = rng.choice(LINES).split()[0]
        start = rng.randrange(20)
        return (" ".join(words[start : start + rng.choice([6, 15, 40])]), rng.choice("abc"))

    return tuple(as_examples([row() for _ in range(n)]) for n in (60, 20, 20))


def test_which_rows_leak_does_not_depend_on_any_order(mixed):
    pool, targets, test = mixed
    flagged = set(_flagged(pool, {"targets": targets, "test": test}))
    assert 0 < len(flagged) < len(pool)
    for seed in range(4):
        rng = random.Random(seed)
        parts = [rng.sample(part, len(part)) for part in mixed]
        assert set(_flagged(parts[0], {"test": parts[2], "targets": parts[1]})) == flagged
    assert set(_flagged(pool, {"all": [*targets, *test]})) == flagged


def test_the_result_is_the_same_each_time_and_however_much_is_done_at_once(mixed, monkeypatch):
    pool, targets, test = mixed
    against = {"targets": targets, "test": test}
    found = find_leaks(pool, against)
    assert find_leaks(pool, against) == found
    monkeypatch.setattr(overlap_module, "_AT_ONCE", 64)
    assert find_leaks(pool, against) == found


def test_a_larger_share_finds_no_more(mixed):
    pool, targets, test = mixed
    found = [
        set(_flagged(pool, {"targets": targets, "test": test}, share=share))
        for share in (0.25, 0.5, 0.75, 1.0)
    ]
    assert all(more >= less for more, less in itertools.pairwise(found))


def test_nothing_leaks_into_nothing(as_examples):
    pool = as_examples(LINES)
    assert find_leaks(pool, {}) == ()
    assert find_leaks(pool, {"targets": []}) == ()
    assert find_leaks([], {"targets": pool}) == ()
    assert find_leaks(pool[:1], {"targets": pool[1:]}) == ()


def test_ids_and_positions_are_the_users(as_examples):
    row = Example("my-id", "", LINES[0], "", 41)
    (leak,) = find_leaks([row], {"test": [Example("q7", "", LINES[0], "", 9)]})
    assert (leak.row, leak.id, leak.of, leak.share) == (41, "my-id", "test q7", 1.0)


TEXT = st.text(max_size=60)
ROWS = st.lists(st.tuples(TEXT, TEXT), max_size=6)


@settings(max_examples=150, deadline=None)
@given(ROWS, ROWS)
def test_any_text_goes_through_and_equal_rows_always_leak(pool_rows, test_rows):
    pool, test = (
        [Example(str(i), p, c, "", i) for i, (p, c) in enumerate(rows)]
        for rows in (pool_rows, test_rows)
    )
    found = find_leaks([*pool, *test], {"test": test})
    assert {leak.row for leak in found[-len(test) :]} == set(range(len(test))) or not test
    assert all(0 < leak.share <= 1 for leak in found)


@settings(max_examples=150, deadline=None)
@given(st.text("ab cกข漢👍é'-3", max_size=80), st.text("ab cกข漢👍é'-3", max_size=80))
def test_texts_of_few_characters_go_through(first, second):
    pool = [Example("0", first, second, "", 0), Example("1", "", first + second, "", 1)]
    find_leaks(pool, {"test": [Example("0", second, first, "", 0)]}, share=0.01)
