"""Names of scorers: what each needs, and what the manifest says of it."""

import json
import subprocess
import sys

import numpy as np
import pytest

import curate
from airrep.errors import ArgumentError, MissingInputError
from airrep.language_model.model import LanguageModel
from curate import cli
from curate.demo_data import demo_pool, demo_targets
from curate.manifest.provenance import differences
from curate.stages.scorer_choice import make_scorer
from selection.scorers import EmbeddingScorer, GradientScorer, RdsScorer, ScoreAverage
from selection.scorers.registry import SCORERS
from selection.scorers.score_average import AVERAGE_SCALE

MODEL_SCORERS = [name for name, each in SCORERS.items() if each.needs == "model"]

POOL, TARGETS = demo_pool(30), demo_targets("email_reply", 2)


@pytest.fixture(scope="module")
def model(tiny_lm):
    return LanguageModel.from_pretrained(tiny_lm)


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize(
    "name",
    [
        # half a minute, nearly all of it for Adam's moments
        pytest.param(name, marks=[pytest.mark.slow] * (name in ("gradient_adam", "nudge")))
        for name in SCORERS
    ],
)
def test_every_name_selects(name, model):
    given = model if name in MODEL_SCORERS else None
    chosen = curate.select(POOL, TARGETS, 3, scorer=name, model=given)
    assert len(chosen) == 3
    assert chosen.manifest.arguments["scorer"] == name


def test_names_stand_for_these_settings(model):
    assert isinstance(make_scorer("rds", model=model), RdsScorer)
    fisher = make_scorer("gradient", model=model, seed=3)
    cosine = make_scorer("gradient_cosine", model=model)
    assert isinstance(fisher, GradientScorer)
    assert (fisher.preconditioner, fisher.normalize, fisher.seed) == ("fisher", "both", 3)
    assert (cosine.preconditioner, cosine.normalize) == ("none", "both")
    assert (fisher.name, cosine.name) == ("gradient", "gradient_cosine")
    assert fisher.model is model


def test_modules_and_a_store_reach_the_gradient_scorers_from_the_command_line(
    tiny_lm, tmp_path, capsys
):
    for name, rows in (("pool", POOL), ("targets", TARGETS)):
        lines = (json.dumps({key: row[key] for key in ("prompt", "completion")}) for row in rows)
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    run = ["select", "--pool", tmp_path / "pool.jsonl", "--targets", tmp_path / "targets.jsonl",
           "--k", 3, "--scorer", "gradient", "--model", tiny_lm, "--store", tmp_path / "store",
           "--modules", "*q_proj"]  # fmt: skip
    said = []
    for output in ("first", "second"):
        assert cli.main([*map(str, run), "--output", str(tmp_path / output)]) == 0
        said.append(json.loads((tmp_path / output / "manifest.json").read_text()))
    (first,), (second,) = (each["encoders"] for each in said)
    assert (first["encoded"], second["encoded"], second["reused"]) == (30, 0, 30)
    assert first["rank"] == 32
    assert first["features"] == 2 * 32 * 32
    assert said[0]["arguments"]["modules"] == "*q_proj"
    assert not (tmp_path / "first" / "embeddings").exists(), "gradients are kept where one asks"
    assert "gradients in 2,048 features a row (rank 32)" in capsys.readouterr().out
    assert cli.main([*map(str, run[:-1]), "*k_porj"]) != 0
    assert "modules '*k_porj': no layer of this name among" in capsys.readouterr().err


def test_modules_of_other_scorers_are_refused():
    with pytest.raises(ArgumentError, match=r"this scorer looks at none\. Leave modules out"):
        curate.select(POOL, TARGETS, 3, scorer="tfidf", modules="*q_proj")


@pytest.mark.parametrize("name", MODEL_SCORERS)
def test_a_missing_model_is_said_before_anything_is_read(name):
    with pytest.raises(ArgumentError, match=f"'{name}' needs the language model that will be fine"):
        curate.select("no-such.jsonl", "none.jsonl", 3, scorer=name)


@pytest.mark.parametrize("name", ["airrep", "tfidf"])
def test_a_model_that_would_not_be_looked_at_is_refused(name, tiny_lm):
    with pytest.raises(ArgumentError, match=r"does not look at the language model.*choose one of"):
        curate.select(POOL, TARGETS, 3, scorer=name, model=tiny_lm)


def test_unknown_names_are_refused():
    with pytest.raises(ArgumentError, match="scorer 'nope' is unknown; choose from airrep, tfidf"):
        curate.select(POOL, TARGETS, 3, scorer="nope")


def test_a_model_that_is_not_there():
    with pytest.raises(MissingInputError, match=r"'\./nope' is not a directory"):
        curate.select(POOL, TARGETS, 3, scorer="rds", model="./nope")


@pytest.mark.slow
def test_a_manifest_repeats_a_run_with_a_model(tmp_path, monkeypatch, tiny_lm, model, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in POOL))
    command = ["select", "--pool", "pool.jsonl", "--targets", "pool.jsonl", "--leakage", "off",
               "--k", "4",
               "--scorer", "gradient_cosine", "--progress", "false"]  # fmt: skip
    assert cli.main(command) == 1
    assert "model=... (--model ...)" in capsys.readouterr().err
    assert cli.main([*command, "--model", str(tiny_lm), "--output", "out"]) == 0
    assert f"30 rows with {tiny_lm.name} (" in capsys.readouterr().out
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["arguments"]["model"] == str(tiny_lm)
    (record,) = manifest["encoders"]
    assert (record["scorer"], record["fingerprint"]) == ("gradient_cosine", model.fingerprint)
    assert record["dtype"] in ("bfloat16", "float32")
    assert cli.main(["select", "--config", "out/manifest.json"]) == 0
    assert capsys.readouterr().out.endswith("same rows as in the manifest\n")


# --- several ---


@pytest.mark.slow
def test_a_list_selects_by_the_mean_of_standardized_scores(model, encoder):
    chosen = curate.select(POOL, TARGETS, 5, scorer=["airrep", "gradient"], model=model)
    average = ScoreAverage([EmbeddingScorer(encoder), GradientScorer(model)])
    expected = curate.select(POOL, TARGETS, 5, scorer=average)
    assert chosen.selection.indices.tolist() == expected.selection.indices.tolist()
    np.testing.assert_array_equal(chosen.selection.scores, expected.selection.scores)
    assert "5 rows by layered_greedy on airrep + gradient scores" in chosen.summary()
    for manifest in (chosen.manifest, expected.manifest):
        assert manifest.chosen["scorer"] == "airrep + gradient"
        assert manifest.chosen["scale"] == AVERAGE_SCALE
        assert [(each["scorer"], each["fingerprint"]) for each in manifest.encoders] == [
            ("airrep", encoder.fingerprint), ("gradient", model.fingerprint),
        ]  # fmt: skip
    assert chosen.manifest.arguments["scorer"] == ["airrep", "gradient"]


@pytest.mark.parametrize("container", [list, tuple])
def test_a_list_of_one_is_that_scorer(container):
    chosen = curate.select(POOL, TARGETS, 5, scorer=container(["tfidf"]))
    expected = curate.select(POOL, TARGETS, 5, scorer="tfidf")
    assert chosen.selection.indices.tolist() == expected.selection.indices.tolist()
    assert chosen.manifest.chosen == expected.manifest.chosen
    assert chosen.manifest.arguments["scorer"] == ["tfidf"]


def test_the_model_is_loaded_once_for_all(tiny_lm):
    made = make_scorer(["rds", "tfidf", "gradient_cosine"], model=tiny_lm)
    rds, _, cosine = made.scorers
    assert rds.model is cosine.model
    assert made.name == "rds+ + tfidf + gradient_cosine"


@pytest.mark.slow
def test_the_pools_embeddings_are_kept_for_the_next_run(tmp_path):
    def counts():
        chosen = curate.select(
            POOL, TARGETS, 3, scorer=["bm25", "airrep"], store=tmp_path / "s"
        )  # fmt: skip
        (record,) = chosen.manifest.encoders
        assert record["scorer"] == "airrep"
        return record["encoded"], record["reused"]

    encoded, repeated = counts()
    assert encoded + repeated == len(POOL)
    assert counts() == (0, len(POOL))


BAD_LISTS = {
    "empty": ([], None, "scorer: the list is empty; choose from airrep, tfidf"),
    "unknown": (["tfidf", "nope"], None, "scorer 'nope' is unknown; choose from airrep, tfidf"),
    "unknown, joined": ("tfidf+bm25", None, "unknown; .* or give a list of several for the mean"),
    "twice": (["tfidf", "bm25", "tfidf"], None, "'tfidf' is in the list 2 times"),
    "no model": (["tfidf", "rds"], None, "scorer 'rds' needs the language model that will be fine"),
    "no use of the model": (
        ["tfidf", "bm25"], "a model", r"'tfidf \+ bm25' does not look at the language model"
    ),
    "not a name": (["tfidf", 3], None, r"found int in it; .*ScoreAverage\(\[\.\.\.\]\)"),
    "nested": (["tfidf", ["bm25"]], None, "a list of names, found list in it"),
    "a set": ({"tfidf", "bm25"}, None, "an object with a score method, found set"),
    "nothing": (None, None, "an object with a score method, found NoneType"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_LISTS)
def test_what_cannot_be_averaged_is_refused_before_anything_is_read(case):
    scorer, model, message = BAD_LISTS[case]
    with pytest.raises(ArgumentError, match=message):
        curate.select("no-such.jsonl", "none.jsonl", 3, scorer=scorer, model=model)


@pytest.mark.slow
def test_a_list_on_the_command_line_in_a_config_and_in_a_manifest(
    tmp_path, monkeypatch, tiny_lm, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in POOL))
    command = ["select", "--pool", "pool.jsonl", "--targets", "pool.jsonl", "--leakage", "off",
               "--k", "4",
               "--model", str(tiny_lm), "--progress", "false"]  # fmt: skip
    assert cli.main([*command, "--scorer", "[bm25, gradient]", "--output", "out"]) == 0
    shown = capsys.readouterr().out
    assert "on bm25 + gradient scores" in shown
    assert f"30 rows with {tiny_lm.name} (" in shown
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["arguments"]["scorer"] == ["bm25", "gradient"]
    assert cli.main(["select", "--config", "out/manifest.json"]) == 0
    assert capsys.readouterr().out.endswith("same rows as in the manifest\n")
    (tmp_path / "run.yaml").write_text("scorer: [bm25, rds]\n")
    assert cli.main([*command, "--config", "run.yaml"]) == 0
    assert "on bm25 + rds+ scores" in capsys.readouterr().out
    assert cli.main([*command, "--scorer", "[rds, bm25, rds]"]) == 1
    assert "'rds' is in the list 2 times" in capsys.readouterr().err
    assert cli.main([*command, "--scorer", "[rds, nope]"]) == 2
    assert "found '[rds, nope]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("before", "found"),
    [
        ({"encoders": [{"fingerprint": "a"}, {"fingerprint": "b"}]}, False),
        ({"encoders": [{"fingerprint": "a"}, {"fingerprint": "c"}]}, True),
        ({"encoders": [{"fingerprint": "a"}]}, True),
        ({"encoder": {"fingerprint": "a"}}, True),  # version 1
        ({"encoder": {}}, True),
    ],
)
def test_a_repeated_run_with_other_encoders_is_told(before, found):
    common = {"inputs": {}, "versions": {}}
    after = {**common, "encoders": [{"fingerprint": "a"}, {"fingerprint": "b"}]}
    told = differences(
        {**common, **before, "chosen": {"fingerprint": "1"}},
        {**after, "chosen": {"fingerprint": "2"}},
    )
    assert any("the encoder" in line for line in told) == found


@pytest.mark.parametrize("record", [{}, {"fingerprint": "a"}])
def test_a_manifest_of_version_1_is_still_compared(record):
    common = {"inputs": {}, "versions": {}}
    told = differences(
        {**common, "encoder": record, "chosen": {"fingerprint": "1"}},
        {**common, "encoders": [record] if record else [], "chosen": {"fingerprint": "2"}},
    )
    assert told == ["the chosen rows differ"]


def test_importing_the_names_needs_no_torch():
    code = "import sys, curate.stages.scorer_choice; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_called_like_a_scorer_is_no_scorer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tfidf").mkdir()
    chosen = curate.select(POOL, TARGETS, 3, scorer="tfidf")
    assert chosen.manifest.arguments["scorer"] == "tfidf"
