"""Every setting reaches the config, and whatever is wrong is said with its place."""

from dataclasses import asdict, fields, is_dataclass

import pytest
import yaml

from airrep.errors import ArgumentError
from eval_harness.benchmark.config import SETTINGS, BenchmarkConfig, read_config

FILES = {"model": "lm", "pool": "p.jsonl", "targets": "t.jsonl", "test": "e.jsonl"}
SELECTING = {**FILES, "attribution": None}
OTHERWISE = """
model: lm
pool: p.jsonl
targets: t.jsonl
test: e.jsonl
columns: {prompt: question, completion: answer}
template_field: template
separator: " "
max_tokens: 77
recipe: {epochs: 3, learning_rate: 0.25, batch_size: 5, trainable: "last:1", precision: float32}
runner: trl
stack: 2
seed: 9
methods: {mine: {kind: gradient, rank: 4}}
attribution:
  subsets: 11
  validation_subsets: 12
  size: 13
  repeats: 3
  targets: 14
  validation: 15
  cheap: ["lora:8"]
  scales: [3, 0.5]
selection:
  budgets: {removed: [7, 8]}
  sources: [b, a]
  targets: 16
  evaluation: 17
  evaluate_on: validation
  seeds: 4
  wrong_share: 0.5
  steps: 21
  scorers: [mine]
  selector: coverage
  selectors: [round_robin]
  selectors_with: [mine]
  scales: {mine: 6}
  accuracy: {rows: 18, max_new_tokens: 19}
"""


def _leaves(config, where=""):
    for each in fields(config):
        value = getattr(config, each.name)
        if is_dataclass(value):
            yield from _leaves(value, f"{where}{each.name}.")
        else:
            yield f"{where}{each.name}", value


def test_every_setting_of_a_file_arrives():
    given = yaml.safe_load(OTHERWISE)
    config = read_config(given)
    assert asdict(config) == given
    default = dict(_leaves(BenchmarkConfig(**FILES, methods={"tfidf": {}})))
    same = [place for place, value in _leaves(config) if default[place] == value]
    assert same == list(FILES), "a field that the file above leaves at its default is not tested"


def test_what_is_left_out_is_the_default():
    config = read_config({**FILES, "selection": {"seeds": 2}})
    assert config == BenchmarkConfig(**FILES, selection=type(config.selection)(seeds=2))
    assert config.method_names == ["airrep", "tfidf"]
    assert read_config({**SELECTING}).attribution is None
    assert read_config({**FILES, "selection": {"accuracy": None}}).selection.accuracy is None


def test_whole_numbers_are_numbers():
    config = read_config({**FILES, "recipe": {"learning_rate": 1}, "selection": {"scales": {}}})
    assert isinstance(config.recipe.learning_rate, float)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modle": "x"}, r"the config: setting 'modle' is unknown; there are model, pool"),
        ({1: "x"}, r"the config: setting '1' is unknown"),
        ({"recipe": {"lr": 1}}, r"recipe: setting 'lr' is unknown; there are epochs"),
        ({"attribution": {"subset": 1}}, r"attribution: setting 'subset' is unknown"),
        ({"selection": {"budget": 1}}, r"selection: setting 'budget' is unknown"),
        ({"selection": {"accuracy": {"n": 1}}}, r"selection\.accuracy: setting 'n' is unknown"),
        ({"stack": "4"}, r"stack: expected int, found '4'"),
        ({"stack": True}, r"stack: expected int, found True"),
        ({"stack": 2.5}, r"stack: expected int, found 2\.5"),
        ({"pool": ["a"]}, r"pool: expected str, found \['a'\]"),
        ({"model": None}, r"model: expected str, found None"),
        ({"recipe": 3}, r"recipe: expected a mapping, found 3"),
        ({"recipe": {"learning_rate": "fast"}}, r"recipe\.learning_rate: expected float, found"),
        ({"runner": "fast"}, r"runner: expected one of auto, direct, stacked, trl, found 'fast'"),
        ({"methods": ["tfidf"]}, r"methods: expected a mapping"),
        ({"methods": {"tfidf": 1}}, r"methods\.tfidf: expected a mapping, found 1"),
        ({"attribution": {"scales": [1, "2"]}}, r"attribution\.scales\[1\]: expected float"),
        ({"attribution": {"cheap": [8]}}, r"attribution\.cheap\[0\]: expected str"),
        ({"selection": {"budgets": [100]}}, r"selection\.budgets: expected a mapping"),
        (
            {"selection": {"budgets": {"present": 9}}},
            r"selection\.budgets\.present: expected a list",
        ),
        (
            {"selection": {"budgets": {"present": ["9"]}}},
            r"budgets\.present\[0\]: expected one of int, auto, found '9'",
        ),
        ({"selection": {"sources": "a"}}, r"selection\.sources: expected a list"),
        (
            {"selection": {"evaluate_on": "dev"}},
            r"evaluate_on: expected one of test, validation, found",
        ),
        ({"selection": {"accuracy": 3}}, r"selection\.accuracy: expected a mapping"),
    ],
)
def test_unknown_settings_and_wrong_kinds_are_named(changes, message):
    with pytest.raises(ArgumentError, match=message):
        read_config({**FILES, **changes})


def test_all_that_is_missing_is_named():
    with pytest.raises(ArgumentError, match=r"^'targets' is missing"):
        read_config({"model": "lm", "pool": "p"})
    with pytest.raises(ArgumentError, match=r"expected a mapping of settings, found \[\]"):
        read_config([])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stack": 0}, r"^stack: expected int >= 1, found 0"),
        ({"seed": -1}, r"^seed: expected int >= 0"),
        ({"attribution": None, "selection": None}, r"nothing to measure"),
        ({"selection": None}, r"methods: expected one or more"),
        ({"recipe": {"epochs": 0}}, r"recipe\.epochs: expected int >= 1, found 0"),
        ({"attribution": {"subsets": 2}}, r"attribution\.subsets: expected int >= 3"),
        ({"attribution": {"validation_subsets": 0}}, r"validation_subsets: expected int >= 3"),
        ({"attribution": {"repeats": 0}}, r"attribution\.repeats: expected int >= 1"),
        ({"attribution": {"scales": []}}, r"attribution\.scales: expected a list of length >= 1"),
        ({"attribution": {"scales": [1, 0]}}, r"attribution\.scales\[1\]: expected float > 0\.0"),
        ({"attribution": {"cheap": ["lots"]}}, r"trainable 'lots' is not understood"),
        ({"attribution": {"cheap": ["all"]}}, r"cheap: 'all' is what the recipe trains anyway"),
        ({"selection": {"seeds": 0}}, r"selection\.seeds: expected int >= 1"),
        ({"selection": {"targets": 0}}, r"selection\.targets: expected int >= 1"),
        ({"selection": {"budgets": {}}}, r"selection\.budgets: expected a mapping of length >= 1"),
        ({"selection": {"budgets": {"removed": ["auto"]}, "scorers": []}}, "auto is the size that"),
        ({"selection": {"steps": 0}}, r"selection\.steps: expected int >= 1, found 0"),
        ({"selection": {"budgets": {"removed": []}}}, r"budgets\.removed: expected a list of len"),
        ({"selection": {"budgets": {"removed": [9, 0]}}}, r"budgets\.removed\[1\]: expected int"),
        ({"selection": {"accuracy": {"rows": 0}}}, r"selection\.accuracy\.rows: expected int"),
        ({"selection": {"wrong_share": 0}}, r"wrong_share: expected float > 0\.0, found 0"),
        ({"selection": {"wrong_share": 1.1}}, r"wrong_share: expected float <= 1\.0, found 1\.1"),
        ({"selection": {"selectors": ["random"]}}, r"give both or neither"),
        ({"selection": {"selectors_with": ["tfidf"]}}, r"give both or neither"),
        (
            {"selection": {"budgets": {"gone": [9]}}},
            r"budgets: expected one of present, .*, found 'gone'",
        ),
        (
            {"selection": {"budgets": {"templates_held_out": [9]}}},
            r"templates_held_out needs template_field",
        ),
    ],
)
def test_values_that_cannot_be_are_refused_before_any_work(changes, message):
    with pytest.raises(ArgumentError, match=message):
        read_config({**FILES, **changes})


def test_all_settings_can_be_asked_for():
    budgets = {setting: [5] for setting in SETTINGS}
    config = read_config({**SELECTING, "template_field": "t", "selection": {"budgets": budgets}})
    assert config.selection.budgets == budgets
