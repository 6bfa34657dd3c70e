"""Rows that differ in content are no copies, whatever they share; copies are found all the same."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airrep.records import Example
from curate.guard import examine

PAIRS = {"(": ")", "[": "]", "{": "}"}
NAMES = ["Alice", "Bob", "Claire", "Dave", "Eve", "Fred"]
COLORS = ["red", "blue", "green", "yellow", "white", "black", "pink", "brown"]


def _dyck(rng):
    opened, text = ["("], ["("]
    for _ in range(rng.randint(6, 14)):
        if len(opened) > 1 and rng.random() < 0.4:
            text.append(PAIRS[opened.pop()])
        else:
            opened.append(rng.choice("([{"))
            text.append(opened[-1])
    prompt = "Complete the rest of the sequence so that every bracket is closed. Input: "
    return prompt + " ".join(text), " ".join(PAIRS[each] for each in reversed(opened))


def _balls(rng):
    names, colors = NAMES[:4], rng.sample(COLORS, 4)
    held = ", ".join(f"{n} has a {c} ball" for n, c in zip(names, colors, strict=True))
    swaps = " ".join("Then, {} and {} swap balls.".format(*rng.sample(names, 2)) for _ in range(4))
    prompt = (
        f"{', '.join(names)} are playing a game. At the start, they each hold a ball: {held}. "
        f"As the game goes on, pairs of them trade balls. {swaps} "
        f"At the end of the game, which ball does {rng.choice(names)} have?"
    )
    return prompt, rng.choice("ABCD")


def _steps(rng):
    steps = (
        rng.choice([f"Take {rng.randint(1, 9)} steps.", "Turn left.", "Turn around."])
        for _ in range(rng.randint(5, 9))
    )
    prompt = "If you follow these instructions, do you return to the starting point? "
    return prompt + " ".join(steps), rng.choice(["Yes", "No"])


def _logic(rng):
    terms = (f"{rng.choice(['', 'not '])}{rng.choice(['True', 'False'])}" for _ in range(5))
    text = "".join(f"( {t} ) {rng.choice(['and', 'or'])} " for t in terms)
    return f"What is the value of this expression: {text} True is", rng.choice(["True", "False"])


TASKS = {"brackets": _dyck, "balls": _balls, "steps": _steps, "logic": _logic}


def _rows(pairs):
    return [Example(str(i), *pair, "", i) for i, pair in enumerate(pairs)]


def _task(make, size, seed=0):
    rng, rows = random.Random(seed), {}
    while len(rows) < size:
        prompt, completion = make(rng)
        rows.setdefault(prompt, completion)
    return list(rows.items())


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("size", [60, 250])
def test_rows_of_a_templated_task_are_no_copies_of_one_another(name, size):
    rows = _task(TASKS[name], size)
    report, _ = examine(_rows(rows), {}, leakage="off").settle()
    assert len(report.removed) <= max(2, size / 100)
    report, _ = examine(_rows(rows[5:]), {"t": _rows(rows[:5])}, duplicates="off").settle()
    assert len(report.removed) <= max(2, size / 100)


@pytest.mark.parametrize("name", TASKS)
def test_copies_of_a_templated_tasks_rows_are_found(name):
    rows = _task(TASKS[name], 100)
    copies = [(prompt.upper().replace(" ", "  "), f"{answer}.") for prompt, answer in rows[:20]]
    report, _ = examine(_rows([*rows, *copies]), {}, leakage="off").settle()
    assert {each.row for each in report.removed} >= set(range(100, 120))
    report, _ = examine(_rows(copies), {"t": _rows(rows[:20])}).settle()
    assert len(report.removed) == 20


SENTENCES = {
    "code": "for (int i = 0; i < n; i += 2) { all = all - values[i] * 3; print(all, i != 7) }",
    "logic": "((p and not q) or (r -> s)) and [t <= 14.5] is it true for every x + y > -3 given",
    "hi": "शब्द दिन का अर्थ सरल भाषा में बताओ और उसका लिंग भी लिखो क्योंकि यह परीक्षा में आता है",
    "ar": "كَتَبَ الطالبُ الدرسَ في الدفترِ القديمِ ثمَّ ذهبَ إلى البيتِ مساءَ اليومِ الثاني 12",
    "th": "นักเรียนเดินไปโรงเรียนทุกวันในตอนเช้าและกลับบ้านในตอนเย็นพร้อมกับเพื่อน",
    "zh": "黑色的猫在第3座旧桥下面安静地睡觉而雨一直下到第二天早上才停",
    "ja": "黒い猫が古い橋の下で静かに眠っている間に雨は朝まで降り続いた",
    "ko": "검은 고양이가 오래된 다리 아래에서 조용히 자는 동안 비는 아침까지 계속 내렸다",
    "de": "Für schöne Grüße aus München müsste man über die größeren Brücken bis nach Köln fahren",
    "base64": "TWFuIGlzIGRpc3Rpbmd1aXNoZWQsIG5vdCBvbmx5IGJ5IGhpcyByZWFzb24+/A==",
}
MARKS = "ािीुूेैोौ\u064e\u064f\u0650ิีื゙ุู่้"
SIGNS = "+-*/<>=()[]{}0123456789"


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(SENTENCES)), st.data())
def test_a_row_that_differs_in_a_sign_or_a_mark_is_never_called_the_same(name, data):
    text = SENTENCES[name]
    there = [i for i, char in enumerate(text) if char in MARKS + SIGNS]
    kinds = ["insert"] + (["drop", "replace"] if there else [])
    kind = data.draw(st.sampled_from(kinds))
    if kind == "insert":
        at = data.draw(st.integers(1, len(text) - 1))
        other = text[:at] + data.draw(st.sampled_from(SIGNS)) + text[at:]
    else:
        at = data.draw(st.sampled_from(there))
        alike = MARKS if text[at] in MARKS else SIGNS
        new = data.draw(st.sampled_from(alike.replace(text[at], ""))) if kind == "replace" else ""
        other = text[:at] + new + text[at + 1 :]
    pool = _rows([(text, "yes"), (other, "yes")])
    found = [*examine(pool, {}, leakage="off").settle()[0].removed]
    found += examine(pool[1:], {"t": pool[:1]}).settle()[0].removed
    assert all(each.share < 1 for each in found)


@pytest.mark.parametrize("name", SENTENCES)
def test_copies_are_found_in_every_script(name, prose):
    text = SENTENCES[name]
    others = [(prose(i, 15), "yes") for i in range(30)]
    inside = (f"{prose(90, 30)}\n{text}\n{prose(91, 30)}", "no")
    pool = _rows(
        [
            *others,
            (text, "yes"),
            (f"  {text.swapcase() if name != 'de' else text}\n", "Yes."),
            inside,
        ]
    )
    assert [c.rows for c in examine(pool, {}, leakage="off").settle()[0].clusters] == [(30, 31)]
    leaks = examine(pool, {"t": _rows([(text, "yes")])}, duplicates="off").settle()[0].removed
    assert {each.row for each in leaks} >= {30, 31, 32} - ({32} if name == "base64" else set())


@pytest.mark.parametrize("operator", ["<", ">", "<=", ">=", "!="])
def test_another_operator_makes_another_task(operator):
    task = "Given two variables, does the expression a {} b hold when both of them are equal"
    pool = _rows([(task.format("=="), "yes"), (task.format(operator), "yes")])
    assert examine(pool, {}, leakage="off").settle()[0].removed == ()
    assert examine(pool[1:], {"t": pool[:1]}).settle()[0].removed == ()


def test_the_pool_is_gone_through_in_order_and_never_indexed(as_examples, prose):
    class Lazy(list):
        def __getitem__(self, index):
            raise AssertionError("indexed")

    rows = as_examples([*(prose(i, 20) for i in range(9)), prose(3, 20), prose(5, 20).upper()])
    report, stays = examine(Lazy(rows), {"test": as_examples([prose(3, 20)])}).settle()
    assert [(each.row, each.reason) for each in report.removed] == [
        (3, "leak"), (9, "leak"), (10, "duplicate")
    ]  # fmt: skip
    assert len(stays) == 8


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("Options: (A) a heron (B) a crane (C) a stork", "(A)"),
         ("Options: (A) a raven (B) a crane (C) a stork", "(A)")),
        (("Say how many there are. There is a fridge.", "1"),
         ("Say how many there are. There is a lamp.", "7")),
        (("The red lamp made it happen, did it?", "Yes"),
         ("The blue lamp made it happen, did it?", "No")),
    ],
    ids=["the option of a label", "a number", "a word"],
)  # fmt: skip
def test_rows_of_one_frame_with_other_answers_are_no_copies(first, second, prose):
    start, stop = f"{prose(50, 20)} ", f" {prose(51, 12)}"
    pool = _rows([(start + prompt + stop, answer) for prompt, answer in (first, second)])
    assert examine(pool, {}, leakage="off").settle()[0].removed == ()
    assert examine(pool[1:], {"t": pool[:1]}).settle()[0].removed == ()
    copy = _rows([(start + second[0].upper() + stop.replace(" ", "  "), f"{second[1]}.")])
    assert len(examine(copy, {"t": pool[1:]}).settle()[0].removed) == 1


def test_another_template_that_asks_for_other_words_is_a_leak_all_the_same(prose):
    review = prose(60, 40)
    asked = _rows([(f"{review} Is this review positive or negative?", "positive")])
    again = _rows([(f"{review} What did the critic think of the film?", "They loved it")])
    assert len(examine(again, {"t": asked}).settle()[0].removed) == 1
