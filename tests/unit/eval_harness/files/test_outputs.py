"""Output directories: bound once, results with digests."""

from __future__ import annotations

import subprocess
import sys

import pytest

from airrep.errors import FileFormatError, OutputError
from eval_harness.files.outputs import claim, read_checksums, write_checksums, write_text

CLAIM = """
import sys
from pathlib import Path
from airrep.errors import OutputError
from eval_harness.files.outputs import claim
try:
    claim(Path(sys.argv[1]), {"seed": int(sys.argv[2])}, "benchmark")
except OutputError as error:
    assert "another benchmark (config.json: seed differ)" in str(error)
    sys.exit(3)
"""


def test_of_two_that_bind_a_new_directory_at_once_one_is_refused(tmp_path):
    file = tmp_path / "new" / "config.json"
    both = [subprocess.Popen([sys.executable, "-c", CLAIM, str(file), str(n)]) for n in (1, 2)]
    assert sorted(process.wait(60) for process in both) == [0, 3]


def test_a_damaged_binding_is_an_error_that_names_it(tmp_path):
    file = tmp_path / "config.json"
    claim(file, {"seed": 1}, "benchmark")
    claim(file, {"seed": 1}, "benchmark")
    for content in ('{"seed": 1', file.read_text().replace('"seed": 1', '"seed": 3')):
        file.write_text(content)
        with pytest.raises(OutputError, match=r"config.json: damaged .*; delete it if you know"):
            claim(file, {"seed": 1}, "benchmark")


def test_a_binding_of_before_there_were_digests_still_binds(tmp_path):
    (tmp_path / "config.json").write_text('{"seed": 1}')
    claim(tmp_path / "config.json", {"seed": 1}, "benchmark")
    with pytest.raises(OutputError, match="seed differ"):
        claim(tmp_path / "config.json", {"seed": 2}, "benchmark")


def test_results_have_digests(tmp_path):
    assert read_checksums(tmp_path) == {}
    write_text("a", tmp_path / "results.md")
    write_checksums(tmp_path, [tmp_path / "results.md", tmp_path / "trials.png"])
    assert [*read_checksums(tmp_path)] == ["results.md"]
    (tmp_path / "checksums.json").write_text("{}x")
    with pytest.raises(FileFormatError, match=r"checksums\.json: damaged"):
        read_checksums(tmp_path)
