"""Text stays text: checked with a Markdown reader that knows nothing of the writer."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eval_harness.files.markdown import code_block, escaped, table

markdown_it = pytest.importorskip("markdown_it")
CHARACTERS = st.text(st.sampled_from("ab1 _*`[]()<>|~&#$\\!-+.:\"'é\n\t"), max_size=24)


def _cells(text):
    """The text of every cell of the one table, as a reader shows it."""
    tokens = markdown_it.MarkdownIt("commonmark").enable("table").parse(text)
    assert tokens[0].type == "table_open"
    assert tokens[-1].type == "table_close"
    cells = []
    for token in tokens:
        if token.type == "inline":
            kinds = {child.type for child in token.children}
            assert kinds <= {"text", "text_special"}, "no emphasis, code, link or HTML"
            cells.append("".join(child.content for child in token.children))
    return cells


@given(CHARACTERS)
@example("a|b")
@example("rds_completion _x_ __init__")
@example("<script>&amp;")
@example("[a](b) `c` *d* ~~e~~ $f$ # g")
@example("\\|")
def test_text_in_a_cell_is_shown_as_it_is(text):
    shown = table(["first", escaped(text) or "-"], [["a", escaped(text) or "-"]])
    wanted = " ".join(text.split()) or "-"
    assert _cells(shown) == ["first", wanted, "a", wanted]


def test_names_of_methods_look_the_same_in_a_terminal():
    for name in ("rds_completion", "tfidf+airrep", "gradient-64", "last:1", "tfidf · coverage"):
        assert escaped(name) == name


def test_a_table():
    assert table(["", "b"], [["c", 1], ["d", 2.5]]) == (
        "|  | b |\n| --- | ---: |\n| c | 1 |\n| d | 2.5 |"
    )


@given(st.text(st.sampled_from("`~a \n"), max_size=30))
def test_code_is_shown_as_it_is(text):
    (block,) = markdown_it.MarkdownIt("commonmark").parse(code_block(text, "yaml"))
    assert (block.type, block.info) == ("fence", "yaml")
    assert block.content.rstrip() == text.rstrip()
