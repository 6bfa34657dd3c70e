"""Every setting of a training's config arrives, and what cannot be is refused before any work."""

from dataclasses import asdict, fields, is_dataclass

import pytest
import yaml

from airrep.errors import ArgumentError
from eval_harness.encoder_training.config import PATHS, EncoderTrainingConfig
from eval_harness.files.settings import read_settings

FILES = {"model": "lm", "pool": "p.jsonl", "targets": "t.jsonl"}
OTHERWISE = """
model: lm
pool: p.jsonl
targets: t.jsonl
columns: {prompt: question, completion: answer}
separator: " "
max_tokens: 77
recipe: {epochs: 3, learning_rate: 0.25, batch_size: 5, trainable: "last:1", precision: float32}
runner: trl
stack: 2
seed: 9
supervision: {splits: 3, size: 11, uniform: 12, few_sources: 13, selected: 14, repeats: 2}
use: [few_sources, uniform]
encoder: {backbone: default, token_pooling: mean, max_tokens: 99}
teacher: {encoder: e, kind: adam, rank: 4, damping: 2.5}
evaluation:
  pool: ep.jsonl
  targets: et.jsonl
  test: ee.jsonl
  share: 0.5
  methods: {mine: {kind: gradient, rank: 4}}
"""


def _read(**changes):
    return read_settings(EncoderTrainingConfig, {**FILES, **changes})


def _leaves(config, where=""):
    for each in fields(config):
        value = getattr(config, each.name)
        if is_dataclass(value):
            yield from _leaves(value, f"{where}{each.name}.")
        else:
            yield f"{where}{each.name}", value


def test_every_setting_of_a_file_arrives():
    given = yaml.safe_load(OTHERWISE)
    config = read_settings(EncoderTrainingConfig, given)
    found, default = dict(_leaves(config)), dict(_leaves(_read()))
    elsewhere = ("training.", "evaluation.attribution.")  # classes with tests of their own
    same = [p for p in found if found[p] == default[p] and not p.startswith(elsewhere)]
    assert same == [*FILES, "recorded"], (
        "a field that the file above leaves at its default is not tested"
    )
    for name, value in given.items():
        if name != "evaluation":
            assert asdict(config)[name] == value


def test_recorded_runs_take_the_place_of_targets():
    given = {"index": "i.jsonl", "losses": "l", "on_bad_row": "skip"}
    config = _read(targets=None, recorded=given)
    assert asdict(config)["recorded"] == given
    assert (
        _read(targets=None, recorded={"index": "i", "losses": "l"}).recorded.on_bad_row == "error"
    )
    with pytest.raises(ArgumentError, match="recorded"):
        _read(targets=None, recorded={"index": "i"})


def test_settings_of_training_and_attribution_arrive():
    config = _read(
        training={"dim": 8, "trainable": "all"}, evaluation={"attribution": {"subsets": 7}}
    )
    assert (config.training.dim, config.training.trainable) == (8, "all")
    assert config.evaluation.attribution.subsets == 7


def test_what_is_left_out_is_the_default():
    config = _read()
    assert config == EncoderTrainingConfig(**FILES)
    assert config.encoder.backbone is None
    assert list(config.evaluation.methods) == ["gradient", "tfidf", "rds", "random"]
    assert _read(teacher={}).teacher == config.teacher


def test_a_teacher_without_weight_teaches_nothing():
    assert _read().teaches is not None
    assert _read(teacher=None).teaches is None
    assert _read(training={"distil": 0}).teaches is None
    assert _read(training={"distil": 0, "start": "teacher"}).teaches is not None


def test_the_paths_are_settings():
    recorded = _read(targets=None, recorded={"index": "i", "losses": "l"})
    leaves = [*_leaves(_read()), *_leaves(recorded)]
    known = {place.rpartition(".")[0] or place for place, _ in leaves}
    known |= {place for place, _ in leaves}
    assert {path.removesuffix(".*.encoder") for path in PATHS} <= known


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modle": "x"}, r"the config: setting 'modle' is unknown; there are model, pool"),
        ({"model": None}, r"model: expected str, found None"),
        ({"stack": 0}, r"^stack: expected int >= 1"),
        ({"seed": -1}, r"^seed: expected int >= 0"),
        ({"supervision": {"split": 1}}, r"supervision: setting 'split' is unknown"),
        ({"supervision": {"uniform": 1}}, r"2 subsets or more per split"),
        ({"use": ["random"]}, r"use\[0\]: expected one of uniform, few_sources, selected, fo"),
        ({"use": ["selected"]}, r"use: no selected subsets are drawn; set supervision\.selected"),
        ({"use": []}, r"use: .*2 subsets or more per split; found 0 of the kinds \[\]"),
        ({"encoder": {"max_tokens": 2}}, r"encoder\.max_tokens: expected int >= 3"),
        ({"training": {"dims": 3}}, r"training: setting 'dims' is unknown"),
        ({"training": {"dim": 0}}, r"training\.dim: expected int >= 1"),
        ({"training": {"start": "teacher"}, "teacher": None}, r"start is 'teacher', and"),
        ({"teacher": {"rank": 0}}, r"teacher\.rank: expected int >= 1"),
        ({"teacher": {"damping": 0}}, r"teacher\.damping: expected float > 0\.0, found 0"),
        ({"evaluation": {"share": 0}}, r"evaluation\.share: expected float > 0\.0, found 0"),
        ({"evaluation": {"share": 1}}, r"evaluation\.share: expected float < 1\.0, found 1"),
        ({"evaluation": {"attribution": {"cheap": ["last:1"]}}}, r"cheap: .*`curate benchmark`"),
        ({"evaluation": {"attribution": {"subset": 1}}}, r"attribution: setting 'subset' is unkn"),
        ({"evaluation": {"methods": {"trained": {}}}}, r"methods: 'trained' is always compared"),
        ({"evaluation": {"methods": {"untrained": {}}}}, r"methods: 'untrained' is always comp"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ArgumentError, match=message):
        _read(**changes)


def test_all_that_is_missing_is_named():
    with pytest.raises(ArgumentError, match=r"^'pool' is missing"):
        read_settings(EncoderTrainingConfig, {"model": "lm"})


def test_two_subsets_of_used_kinds_are_enough():
    config = _read(supervision={"uniform": 0, "few_sources": 1, "selected": 1},
                   use=["few_sources", "selected"])  # fmt: skip
    assert config.use == ["few_sources", "selected"]
    with pytest.raises(ArgumentError, match=r"found 1 of the kinds \['selected'\]"):
        _read(supervision={"uniform": 5, "selected": 1}, use=["selected"])
