"""Arrays with what is known of them: altered, cut, of other versions."""

import json

import numpy as np
import pytest

from airrep.errors import FileFormatError
from eval_harness.files.array_file import read_array, write_array

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def file(tmp_path):
    write_array(tmp_path / "a.npy", VALUES, {"seconds": 1.5})
    return tmp_path / "a.npy"


def test_both_come_back(file):
    values, facts = read_array(file)
    assert np.array_equal(values, VALUES)
    assert facts["seconds"] == 1.5


@pytest.mark.parametrize("name", ["a.npy", "a.json"])
def test_damage_is_an_error_that_names_the_file_and_what_to_do(file, name):
    damaged = file.with_name(name)
    whole = damaged.read_bytes()
    for content in (
        whole[: len(whole) // 2],
        b"",
        whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:],
    ):
        damaged.write_bytes(content)
        with pytest.raises(FileFormatError, match=rf"{name}: damaged .*; delete it and the .json"):
            read_array(file)
    damaged.unlink()
    with pytest.raises(FileFormatError, match=rf"{name}: damaged"):
        read_array(file)


def test_files_of_before_there_were_digests_are_read_and_later_ones_are_not(file):
    beside = file.with_suffix(".json")
    beside.write_text('{"seconds": 2.0}')
    assert read_array(file)[1] == {"seconds": 2.0}
    beside.write_text(json.dumps({"seconds": 2.0, "format": 9}))
    with pytest.raises(FileFormatError, match="format 9 is of a later version"):
        read_array(file)
