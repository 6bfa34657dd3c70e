"""Scoring that does not fit is refused, and what would fit is named."""

import pytest
import torch

from airrep import normalize
from airrep.errors import ArgumentError
from airrep.gradients.memory import scoring_memory
from airrep.language_model.model import LanguageModel
from airrep.machine.hardware import fastest_dtype
from curate.demo_data import demo_pool
from curate.stages.scoring_memory import check_scoring_memory

ROWS = [normalize(row) for row in demo_pool(5)]


def _refused(scorers, model, dtype="float32", **options):
    with pytest.raises(ArgumentError) as caught:
        check_scoring_memory(scorers, model, dtype, ROWS, limit=1, **options)
    return str(caught.value)


def test_what_fits_is_said_and_no_more(tiny_lm, capsys):
    check_scoring_memory(["nudge"], tiny_lm, "float32", ROWS, limit=1 << 34, progress=True)
    assert "memory: scoring takes about" in capsys.readouterr().err
    check_scoring_memory(["rds"], tiny_lm, "float32", ROWS, limit=1 << 34)
    assert capsys.readouterr().err == ""


def test_the_dearest_scorer_is_named(tiny_lm):
    assert f"{tiny_lm}: scoring by nudge takes about" in _refused(["rds", "nudge"], tiny_lm)
    assert "scoring by rds takes about" in _refused(["rds"], tiny_lm)


@pytest.mark.parametrize(
    ("scorer", "dtype", "others"),
    [
        ("gradient", "bfloat16", {"--model-dtype int8", "--model-dtype int4"}),
        ("gradient_adam", "float32", {"--model-dtype bfloat16"}),
        ("nudge", "float32", set()),
        ("rds", "int4", set()),
    ],
)
def test_only_what_would_fit_is_named(tiny_lm, scorer, dtype, others):
    narrow = fastest_dtype(torch.device("cpu")) is torch.bfloat16
    limit = scoring_memory(tiny_lm, scorer, dtype=dtype, narrow=narrow).total - 1
    with pytest.raises(ArgumentError, match="What would fit") as caught:
        check_scoring_memory([scorer], tiny_lm, dtype, ROWS, limit=limit)
    named = str(caught.value).split("What would fit: ")[1].split("; ")
    assert named[-3:] == [
        "--scorer airrep needs no language model",
        "a smaller model",
        "more free memory.",
    ]
    ways = {each.partition(" takes")[0] for each in named[:-3]}
    assert ways - {"--scorer gradient"} == others | ({"--scorer rds"} if scorer != "rds" else set())


def test_a_model_that_is_loaded_takes_nothing_more_for_its_weights(tiny_lm):
    loaded = LanguageModel.from_pretrained(tiny_lm)
    needed = scoring_memory(tiny_lm, "rds")
    check_scoring_memory(["rds"], loaded, "float32", ROWS, limit=needed.total - 1)
    assert "--model-dtype" not in _refused(["rds"], loaded)


def test_a_verb_names_ways_of_its_own(tiny_lm):
    said = _refused(["gradient"], tiny_lm, instead=["--max-tokens 8"])
    assert "What would fit: --max-tokens 8; a smaller model; more free memory." in said
