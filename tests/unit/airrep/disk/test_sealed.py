"""JSON that knows whether it was altered, and the rule for versions."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airrep.disk.sealed import check_format, read_sealed, reading, write_sealed
from airrep.errors import ArgumentError, FileFormatError, StoreError

CONTENT = {"format": 1, "rows": [{"loss": 0.1 + 0.2, "name": "größer"}], "none": None, "n": 7}


def read(path):
    return read_sealed(path, "delete it")


def test_what_was_written_is_read_and_people_can_read_it_too(tmp_path):
    write_sealed(tmp_path / "x.json", CONTENT)
    assert read(tmp_path / "x.json") == CONTENT
    assert "größer" in (tmp_path / "x.json").read_text("utf-8")
    assert len(json.loads((tmp_path / "x.json").read_text("utf-8"))["digest"]) == 32


def test_every_byte_counts_or_means_nothing(tmp_path):
    """Each bit of each byte flipped: an error that names the file, or the same content."""
    file = tmp_path / "x.json"
    write_sealed(file, CONTENT)
    whole, found = file.read_bytes(), 0
    for at in range(len(whole)):
        for bit in range(8):
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            try:
                # A key called otherwise than `digest` is one that the reader does not know.
                read_back = {k: v for k, v in read(file).items() if k in CONTENT}
                assert read_back == CONTENT
            except FileFormatError:
                found += 1
    assert found > 7 * len(whole)


@pytest.mark.parametrize("length", range(0, 100, 7))
def test_what_was_cut_is_an_error_that_says_what_to_do(tmp_path, length):
    file = tmp_path / "x.json"
    write_sealed(file, CONTENT)
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(FileFormatError, match=r"x.json: damaged \(.*\); delete it"):
        read(file)


@given(st.dictionaries(st.text(), st.floats() | st.text() | st.integers() | st.none()))
def test_any_content_comes_back(tmp_path_factory, content):
    content.pop("digest", None)
    file = tmp_path_factory.mktemp("sealed") / "x.json"
    write_sealed(file, content)
    assert repr(read(file)) == repr(content)


def test_a_file_of_before_there_were_digests_is_read(tmp_path):
    (tmp_path / "x.json").write_text('{"format": 1, "later": true}')
    assert read(tmp_path / "x.json") == {"format": 1, "later": True}


def test_a_later_version_is_refused_in_words(tmp_path):
    with pytest.raises(StoreError, match=r"format 3 is of a later version .* up to 2"):
        check_format(3, 2, tmp_path / "x", StoreError)
    check_format(1, 2, tmp_path / "x", StoreError)
    for wrong in (0, -1, "1", 1.0, True, None):
        with pytest.raises(ValueError, match="no format number"):
            check_format(wrong, 2, tmp_path / "x", StoreError)


def test_values_that_are_wrong_are_the_file_s_error_and_others_of_the_family_pass(tmp_path):
    with (
        pytest.raises(StoreError, match=r"x: damaged \(rows: expected int, found 1\.5\); del"),
        reading(tmp_path / "x", "delete it", StoreError),
    ):
        raise ArgumentError("expected int, found 1.5", where="rows")
    with (
        pytest.raises(FileFormatError, match=r"^of a later version; delete it"),
        reading(tmp_path / "x", "delete it", StoreError),
    ):
        raise FileFormatError("of a later version")
