"""YAML for `curate benchmark` and `curate train`: settings that are read, or one error."""

import random

import pytest
import yaml

from airrep.errors import CurateError, FileFormatError, MissingInputError
from curate.configs.files import load_config
from curate.configs.yaml_text import DEEPEST, read_yaml
from curate.verbs.benchmark import PATHS as BENCHMARK_PATHS
from eval_harness.benchmark.config import BenchmarkConfig, read_config
from eval_harness.encoder_training.config import BUILT_IN, PATHS, EncoderTrainingConfig
from eval_harness.files.settings import read_settings

BENCHMARK = {
    "model": "model", "pool": "pool.jsonl", "targets": "targets.jsonl", "test": "*.jsonl",
    "columns": {"prompt": "q", "completion": "a"}, "separator": "\n", "max_tokens": 64,
    "recipe": {"epochs": 1, "learning_rate": 2e-5, "batch_size": 4}, "stack": 2, "seed": 1,
    "methods": {"airrep": {"scorer": "airrep", "encoder": "enc"}, "tfidf": {}},
    "attribution": {"subsets": 5, "scales": [1, 2.5], "cheap": ["last:1"]},
    "selection": {"budgets": {"present": [10, 20]}, "seeds": 2, "accuracy": {"rows": 3}},
}  # fmt: skip
TRAINING = {
    "model": "model", "pool": "pool.jsonl", "targets": "targets.jsonl", "seed": 3,
    "recipe": {"epochs": 2}, "supervision": {"splits": 3}, "encoder": {"backbone": "x"},
    "training": {"epochs": 2, "learning_rate": 1e-3}, "teacher": {"projection": 8},
    "evaluation": {"subsets": 5},
}  # fmt: skip


def _read_benchmark(file):
    return read_config(load_config(file, BENCHMARK_PATHS))


def _read_training(file):
    return read_settings(EncoderTrainingConfig, load_config(file, PATHS, [BUILT_IN]))


@pytest.mark.parametrize("cases", [120, pytest.param(2400, marks=pytest.mark.torture)])
def test_mutated_configs_are_read_or_refused(
    tmp_path, mutate, mutate_value, as_json, outcome, cases
):
    rng, file = random.Random(11), tmp_path / "run.yaml"
    kinds = ((BENCHMARK, _read_benchmark), (TRAINING, _read_training))
    for number in range(cases):
        values, read = kinds[number % 2]
        text = yaml.safe_dump(values).encode("utf-8")
        made = mutate(text, rng) if number % 3 == 0 else as_json(mutate_value(values, rng))
        file.write_bytes(made)
        found = outcome(read, file)
        assert isinstance(found, CurateError | BenchmarkConfig | EncoderTrainingConfig)


REFUSED = {
    "an alias": (
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
        r"line 2: \*a is an alias; write out",
    ),
    "itself": ("a: &a [*a]", r"line 1: \*a is an alias"),
    "no anchor": ("a: *b", r"line 1: \*b is an alias"),
    "a merge": ("base: &base {k: 1}\none:\n  <<: *base", r"line 3: \*base is an alias"),
    "a tag": ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
    "a date": ("a: !!timestamp 2020-01-01", "could not determine a constructor"),
    "a set": ("!!set {a, b}", "could not determine a constructor"),
    "depth": ("\n" + "[" * 5000, "line 2: nested deeper than 64 levels"),
    "a double": ("k: 1\npool: x\nk: 2", "line 3: the setting 'k' stands there twice"),
    "a double below": ("a:\n  b: 1\n  b: 1", "line 3: the setting 'b' stands there twice"),
    "a double of numbers": ("{1: a, 0x1: b}", "line 1: the setting 1 stands there twice"),
    "empty number": ("k: !!int ''", "not YAML"),
    "no truth": ("k: !!bool 5", "not YAML"),
    "no time": ("k: !!timestamp x", "not YAML"),
    "digits": ("k: " + "9" * 5000, "not YAML"),
    "nul": ("k: \0", "not YAML"),
    "a list as a name": ("? [a, b]\n: 1", "not YAML"),
    "broken": ("k: [1", "not YAML"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_yaml_that_hangs_crashes_or_fools_readers_is_refused(limited, case):
    text, message = REFUSED[case]
    with limited(), pytest.raises(FileFormatError, match=message):
        read_yaml(text)


def test_as_many_levels_as_promised_are_read():
    read_yaml("[" * DEEPEST + "]" * DEEPEST)
    with pytest.raises(FileFormatError, match="line 1: nested deeper"):
        read_yaml("[" * DEEPEST + "1" + "]" * DEEPEST)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("2e-5", 2e-5), ("1.5E3", 1500.0), ("-1e+3", -1000.0), (".5e2", 50.0), ("e5", "e5"),
        ("1e", "1e"), ("7", 7), ("yes", True), ("~", None), ("2020-01-01", "2020-01-01"),
        ("=", "="), ("!!str 1", "1"), ("&name x", "x"),
    ],
)  # fmt: skip
def test_plain_values_are_read_as_what_they_look_like(written, value):
    found = read_yaml(f"k: {written}")
    assert found == {"k": value}
    assert type(found["k"]) is type(value)


def test_a_config_that_is_no_file_is_refused(tmp_path, limited):
    import os

    os.mkfifo(tmp_path / "pipe.yaml")
    with limited(), pytest.raises(FileFormatError, match="a pipe or a device"):
        load_config(tmp_path / "pipe.yaml", [])
    for name in ("", "x" * 5000, "a\0b"):
        with pytest.raises(MissingInputError, match="no such config can be read"):
            load_config(tmp_path / name, [])


def test_numbers_that_are_none_are_refused():
    for value in (".nan", ".inf", "-.inf", "1" + "0" * 400):
        with pytest.raises(CurateError, match="learning_rate"):
            read_config(read_yaml(f"{{model: m, pool: p, targets: t, test: t, recipe: "
                                  f"{{learning_rate: {value}}}}}"))  # fmt: skip
