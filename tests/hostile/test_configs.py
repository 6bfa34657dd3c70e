"""YAML for `curate benchmark` and `curate train`: settings that are read, or one error."""

import random

import pytest
import yaml

from airrep.errors import CurateError, FileFormatError, MissingInputError
from curate.configs.files import load_config
from curate.configs.yaml_text import MOST_VALUES, read_yaml
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


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)
REFUSED = {
    "a bomb": (BOMB, rf"line 5: the aliases before stand for more than {MOST_VALUES:,}"),
    "itself": ("a: &a [*a]", r"\*a stands for nothing, or for something that holds itself"),
    "no anchor": ("a: *b", "not YAML"),
    "a tag": ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
    "depth": ("[" * 5000, "nested deeper than 64 levels"),
    "a double": ("k: 1\npool: x\nk: 2", "line 3: the setting 'k' stands there twice"),
    "a double below": ("a:\n  b: 1\n  b: 1", "line 3: the setting 'b' stands there twice"),
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


@pytest.mark.slow
def test_a_long_config_without_aliases_is_read():
    many = list(range(MOST_VALUES + 10))
    assert read_yaml(yaml.safe_dump({"rows": many})) == {"rows": many}


def test_aliases_and_merges_that_are_meant_well_are_read():
    text = "base: &base {k: 1, s: x}\none:\n  <<: *base\n  k: 2\ntwo: *base\n"
    expected = {"base": {"k": 1, "s": "x"}, "one": {"k": 2, "s": "x"}, "two": {"k": 1, "s": "x"}}
    assert read_yaml(text) == expected
    assert read_yaml("learning_rate: 2e-5") == {"learning_rate": 2e-5}


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
