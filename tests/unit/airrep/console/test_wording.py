"""Texts are cut after a word, and a count agrees with what it counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airrep.console.wording import counted, named, noun_for, shortened, shown, whole_words


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (12_345, "12,345 rows")]
)
def test_a_count_agrees_with_its_noun(number, said):
    assert counted(number, "row") == said
    assert said.endswith(f" {noun_for(number, 'row')}")
    assert counted(number, "query", "queries").split()[1] == ("query" if number == 1 else "queries")


@given(st.text(alphabet="ab \n", max_size=80), st.integers(2, 40))
def test_a_shortened_text_has_whole_words_and_an_ellipsis(text, size):
    flat, short = " ".join(text.split()), shortened(text, size)
    assert len(short) <= size
    if short == flat:
        return
    assert len(flat) > size
    kept = short.removesuffix("…")
    assert flat.startswith(kept)
    longest = max(map(len, flat.split()))
    if longest <= (size - 1) // 2:
        assert kept.split() == flat.split()[: len(kept.split())]


def test_a_word_longer_than_half_of_the_room_is_split():
    assert shortened("x" * 90, 10) == "x" * 9 + "…"
    assert shortened("a " + "x" * 90, 10) == "a xxxxxxx…"
    assert shortened("一" * 90, 10) == "一" * 9 + "…"
    assert whole_words("one two", 3) == 3, "a word that fits exactly stays"


def test_values_are_shown_as_they_are_written_up_to_a_word():
    assert shown("two  spaces") == "'two  spaces'"
    assert shown("word " * 40) == "'" + " ".join(["word"] * 15) + "…"
    assert shown(10**5000) == "int of enormous size"


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("/home/ann/data/pool.jsonl", "pool.jsonl"),
        ("/home/ann/models/qwen/", "qwen"),
        ("/home/ann/data/*.jsonl", "*.jsonl"),
        (r"C:\Users\ann\pool.jsonl", "pool.jsonl"),
        ("data/pool.jsonl", "data/pool.jsonl"),
        ("../pool.jsonl", "../pool.jsonl"),
        ("~/pool.jsonl", "~/pool.jsonl"),
        ("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B"),
        ("2 files", "2 files"),
        ("/", "/"),
        ("", ""),
    ],
)
def test_of_an_absolute_path_the_last_part_is_shown(place, name):
    assert named(place) == name


def test_plurals_with_es():
    assert counted(2, "batch") == "2 batches"
    assert counted(2, "pass") == "2 passes"
    assert counted(1, "batch") == "1 batch"
    assert counted(2, "epoch") == "2 epochs"
