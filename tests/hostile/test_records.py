"""Whatever a row is, it is an example of the row's own text, or one error."""

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from airrep.errors import ArgumentError, RecordError
from airrep.records import Example, normalize, trl_record

FIELDS = [
    "prompt", "completion", "messages", "text", "instruction", "input", "output", "context",
    "response", "conversations", "inputs", "targets", "question", "answer", "source", "dataset",
    "task", "id", "", "Prompt", "\ud800",
]  # fmt: skip
TEXT = st.text(max_size=20)
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "system", "tool", "x", None]) | TEXT,
        "from": st.sampled_from(["human", "gpt", 3]),
        "content": TEXT | st.none() | st.lists(st.dictionaries(st.just("text") | TEXT, TEXT)),
        "value": TEXT,
    },
)
SCALAR = (
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary(max_size=5)
    | st.sampled_from(["\ud800", "\0", b"\xff", object(), frozenset({1, 2}), 1j])
    | st.just(5000).map(lambda digits: 10**digits)  # too long a number to be written out
)  # fmt: skip
VALUE = st.one_of(
    TEXT,
    st.lists(MESSAGE, max_size=3),
    st.recursive(
        SCALAR,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=6,
    ),
)
ROW = st.dictionaries(st.sampled_from(FIELDS), VALUE, max_size=6)
ANY_ROW = ROW | TEXT | st.dictionaries(SCALAR, VALUE) | VALUE
COLUMNS = st.none() | st.dictionaries(
    st.sampled_from(["prompt", "completion", "messages", "text", "source", "id", "zork"]),
    st.sampled_from(FIELDS) | SCALAR,
    max_size=3,
)


def _texts(value):
    """Every string that stands somewhere in a row."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _check(row, columns, outcome):
    before = list(_texts(row))
    read = outcome(normalize, row, columns=columns)
    assert list(_texts(row)) == before, "the user's row is not touched"
    if not isinstance(read, Example):
        assert isinstance(read, RecordError | ArgumentError)
        return
    texts = set(_texts(row))
    assert read.completion.strip() or "prompt" in read.trl, "there is something to learn"
    for text in (read.prompt, read.completion, read.source):
        text.encode("utf-8")
        assert (
            not text
            or text in texts
            or set(text.split("\n")) <= {line for each in texts for line in each.split("\n")}
        ), "made of the row's own texts"
    if isinstance(row, dict):
        record = outcome(trl_record, row, columns=columns)
        assert record == read.trl
        assert record.keys() & {"text", "messages", "prompt", "chosen"}


@pytest.mark.parametrize("cases", [120, pytest.param(3000, marks=pytest.mark.torture)])
def test_any_row_is_read_or_refused(cases, outcome):
    @seed(1)
    @settings(max_examples=cases, deadline=None, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(row=ANY_ROW, columns=COLUMNS)
    def run(row, columns):
        _check(row, columns, outcome)

    run()


def test_what_cannot_be_written_out_is_named_by_its_type():
    with pytest.raises(
        RecordError, match=r"'text' should be text, found int \(int of enormous size"
    ):
        normalize({"text": 10**5000})
    nested = []
    nested.append(nested)
    with pytest.raises(RecordError, match="a part that is not text"):
        normalize({"messages": [{"role": "assistant", "content": [nested]}]})
    with pytest.raises(RecordError, match="'key' should be a name"):
        normalize({"text": "a", "key": 10**5000}, columns={"id": "key"})


def test_columns_that_are_no_names_are_refused():
    for columns in ({"prompt": [1], "completion": "b"}, {"prompt": 1, 2: "b"}, [("text", "a")]):
        with pytest.raises(ArgumentError, match="columns"):
            normalize({"text": "a"}, columns=columns)


def test_a_row_of_thousands_of_fields_does_not_fill_the_screen():
    with pytest.raises(RecordError, match="and 4,960 more") as found:
        normalize({f"field_{i}": "x" for i in range(5000)})
    assert len(str(found.value)) < 2000
