"""`curate train`: from a pool and a model to a tested checkpoint, whatever interrupts it."""

import json
import os
import re
import shutil
import signal
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoTokenizer

import curate
from airrep import AirRep, AirRepConfig, AirRepModel
from airrep.errors import ArgumentError, CurateError, OutputError
from curate import cli
from curate.configs.files import load_config
from curate.demo_data import demo_pool
from eval_harness.benchmark.config import AttributionConfig
from eval_harness.encoder_training.config import PATHS, EncoderTrainingConfig
from eval_harness.encoder_training.rows import settled
from eval_harness.files.array_file import read_array
from eval_harness.files.settings import read_settings

CONFIG = {
    "model": "lm", "pool": "pool*.jsonl", "targets": "targets.jsonl", "max_tokens": 64, "stack": 6,
    "columns": {"source": "task"},
    "recipe": {"epochs": 1, "learning_rate": 1e-2, "batch_size": 4, "precision": "float32"},
    "supervision": {"splits": 2, "size": 8, "uniform": 6, "few_sources": 3, "selected": 3},
    "use": ["uniform", "selected"],
    "encoder": {"max_tokens": 64},
    "training": {"dim": 24, "steps": 8, "evaluate_every": 2, "patience": 9, "subsets": 6,
                 "targets": 12, "distil_rows": 12, "learning_rate": 0.05,
                 "backbone_learning_rate": 0.01},
    "teacher": {"rank": 2, "damping": 30.0},
    "evaluation": {
        "attribution": {"subsets": 5, "validation_subsets": 5, "size": 8, "repeats": 2,
                        "targets": 8, "validation": 8, "scales": [1, 10]},
        "methods": {"gradient": {"rank": 2}, "tfidf": {}},
    },
}  # fmt: skip
# The same command line, until one function was called so often: there it stays.
HELD = """
    import sys, time, {module} as module
    function, calls = module.{name}, []
    def hold(*given, **options):
        if len(calls) == {calls}: time.sleep(600)
        calls.append(given)
        return function(*given, **options)
    module.{name} = hold
    from curate.cli import main
    sys.exit(main(sys.argv[1:]))
"""
PLAINLY = "import sys; from curate.cli import main; sys.exit(main(sys.argv[1:]))"
RUNNING = HELD.format(module="eval_harness.runs.subset_runs", name="_run_stack", calls=1)
# After steps 0, 2 and 4, before that at 6 counts.
TRAINING = HELD.format(
    module="eval_harness.encoder_training.learning", name="lds_of_predictions", calls=3
)


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_lm):
    """A folder with a language model, a sentence encoder, rows and a config."""
    folder = tmp_path_factory.mktemp("train")
    shutil.copytree(tiny_lm, folder / "lm")
    rows = demo_pool(500)
    for name, part in (("pool", rows[:400]), ("targets", rows[400:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    config = AirRepConfig(
        vocab_size=512, hidden_size=24, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64, pad_token_id=0, initializer_range=0.2,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AirRepModel(config).eval()
    AirRep(model, AutoTokenizer.from_pretrained(tiny_lm)).save_pretrained(folder / "sentences")
    (folder / "train.yaml").write_text(yaml.safe_dump(CONFIG))
    return folder


@pytest.fixture(scope="module")
def whole(place):
    """The directory of a training that was run from elsewhere, and what it printed."""
    command = ["train", str(place / "train.yaml"), "--output", str(place / "whole")]
    with redirect_stdout(StringIO()) as printed:
        assert cli.main([*command, "--progress", "false"]) == 0
    return place / "whole", printed.getvalue()


def _changed(place, name, **changes):
    file = place / f"{name}.yaml"
    file.write_text(yaml.safe_dump({**CONFIG, **changes}))
    return file


def _contents(directory):
    files = [f for f in directory.rglob("*") if f.is_file()]
    return {str(f.relative_to(directory)): f.read_bytes() for f in files}


def _checkpoint(directory):
    content = _contents(directory / "encoder")
    content.pop("README.md")  # has the time that runs took
    return content


def _nothing_is_done(monkeypatch):
    for name in ("eval_harness.runs.subset_runs._run_stack",
                 "eval_harness.encoder_training.learning.train_encoder",
                 "eval_harness.encoder_training.learning._teacher",
                 "eval_harness.benchmark.methods.ScoreFiles._compute"):  # fmt: skip
        monkeypatch.setattr(name, lambda *_, **__: pytest.fail("done before"))


def test_everything_is_written_and_printed(whole):
    directory, printed = whole
    text = (directory / "results.md").read_text("utf-8")
    assert printed == f"{text}\nwrote   {directory}\n"
    assert "nan" not in text
    for name in ("trained", "untrained", "gradient", "tfidf"):
        assert f"\n| {name} |" in text
    assert "Noise: two seeds of the same subsets agree at" in text
    assert "uniform 6, few\\_sources" not in text
    assert "uniform 6, few_sources 3 (not used), selected 3" in text
    written = {*_contents(directory)}
    assert {"config.json", "inputs.json", "split-0/plan.json", "split-1/plan.json",
            "evaluation/runs-all/plan.json", "evaluation/attribution.parquet",
            "evaluation/attribution.json", "training/learned.json", "training/training.json",
            "training/untrained/config.json", "encoder/config.json", "encoder/README.md",
            "encoder/model.safetensors"} <= written  # fmt: skip
    assert len([name for name in written if "/runs/" in name]) == 2 * 12 + 10 * 2
    card = (directory / "encoder" / "README.md").read_text("utf-8")
    assert text.split("## Test\n\n")[1].split("\n\n## Cost")[0] in card
    assert "pool\\*.jsonl" in card
    assert str(directory.parent) not in card


def test_the_checkpoint_is_half_precision_and_what_was_tested(whole):
    directory, _ = whole
    weights = load_file(directory / "encoder" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    encoder = AirRep.from_pretrained(directory / "encoder")
    assert encoder.dim == 24
    assert encoder.attention_scale > 0
    rows = pd.read_parquet(directory / "evaluation" / "attribution.parquet").set_index("method")
    assert rows.loc["trained", "bytes_per_row"] == 4 * encoder.dim
    learned = json.loads((directory / "training" / "learned.json").read_text())
    lds = {each["step"]: each["lds"] for each in learned["history"]}
    assert [*lds] == [0, 2, 4, 6, 8]
    assert lds[learned["best"]] == max(lds.values())
    saved = float(re.search(r"LDS of (-?[\d.]+) on validation", (directory / "results.md")
                            .read_text("utf-8"))[1])  # fmt: skip
    assert saved == pytest.approx(lds[learned["best"]], abs=0.05), "float16 changed little"


def test_untrained_is_what_training_started_from(whole):
    """The trained projector is the untrained one times the matrix that was learned."""
    directory, _ = whole
    untrained = AirRep.from_pretrained(directory / "training" / "untrained")
    embeddings = untrained.encode([row["prompt"] for row in demo_pool(20)])
    assert embeddings.shape == (20, 24)
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert untrained.attention_scale == pytest.approx(5.0, rel=1e-4)
    start, end = (
        load_file(file / "model.safetensors")["projector.weight"].float()
        for file in (directory / "training" / "untrained", directory / "encoder")
    )
    learned = load_file(directory / "training" / "training.safetensors")
    assert not learned["weight.matrix"].equal(torch.eye(24)), "training did something"
    expected = learned["best.matrix"].T @ start
    assert (end - expected).norm() < 2e-3 * expected.norm()


def test_select_works_with_it(whole, place):
    chosen = curate.select(
        place / "pool.jsonl", place / "targets.jsonl", 5, encoder=whole[0] / "encoder"
    )
    assert len(chosen) == 5
    (encoder,) = chosen.manifest.encoders
    assert encoder["name"] == "encoder"


def test_again_nothing_is_done_and_nothing_changes(whole, place, monkeypatch, written_under):
    directory, printed = whole
    before = _contents(directory)
    _nothing_is_done(monkeypatch)
    written = written_under(directory / ".lock")
    result = curate.train(place / "train.yaml", directory)
    assert {"attribution.parquet", "results.md", "checksums.json"} <= written.keys()
    assert all(written.values()), "no other process writes results in between"
    assert str(result) == result.markdown == printed.removesuffix(f"\nwrote   {directory}\n")
    assert result.directory == directory / "encoder"
    assert [row["method"] for row in result.attribution][:2] == ["trained", "untrained"]
    assert result.history[0]["step"] == 0
    assert _contents(directory) == before
    card = directory / "encoder" / "README.md"
    written = card.read_text("utf-8")
    card.write_text("mine", "utf-8")
    curate.train(place / "train.yaml", directory)
    assert card.read_text("utf-8") == "mine", "a card that was edited is left alone"
    card.write_text(written, "utf-8")


@pytest.mark.slow
def test_killed_anywhere_it_goes_on_and_processes_share_the_work(program, whole, place, wait_until):
    output = place / "shared"
    command = ["train", "train.yaml", "--output", str(output), "--progress", "false"]

    def begin(text):
        return program(text, *command, folder=place)

    def kill_when(process, reached, what):
        wait_until(reached, what, of=process)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL

    def steps():
        file = output / "training" / "training.json"
        return json.loads(file.read_text())["step"] if file.exists() else -1

    def runs():
        return len(list(output.rglob("runs/*.safetensors")))

    kill_when(begin(RUNNING), lambda: runs() == 6, "the runs of one stack")
    kill_when(begin(TRAINING), lambda: steps() == 4, "the fourth step")
    assert not (output / "encoder").exists()
    both = [begin(PLAINLY), begin(PLAINLY)]
    for process in both:
        assert process.wait() == 0, process.stderr
    assert _checkpoint(output) == _checkpoint(whole[0])
    states = [load_file(d / "training" / "training.safetensors") for d in (output, whole[0])]
    assert all(tensor.equal(states[1][name]) for name, tensor in states[0].items())
    learned = json.loads((output / "training" / "learned.json").read_text())
    assert learned["seconds"] is None
    assert "not known: it was interrupted" in (output / "results.md").read_text("utf-8")
    other, mine = (
        pd.read_parquet(directory / "evaluation" / "attribution.parquet")
        .drop(columns="seconds_per_row") for directory in (output, whole[0])
    )  # fmt: skip
    pd.testing.assert_frame_equal(other, mine)


def _with_its_runs(whole, output, monkeypatch):
    """Let a directory start with the runs of another training, and fail if it makes more."""
    for name in ("split-0", "split-1", "evaluation/runs-all"):
        shutil.copytree(whole[0] / name, output / name)
    monkeypatch.setattr(
        "eval_harness.runs.subset_runs._run_stack", lambda *_: pytest.fail("a run was repeated")
    )


@pytest.mark.slow
def test_a_sentence_encoder_learns_from_runs_that_are_there(whole, place, monkeypatch):
    """Recorded runs serve another encoder: copy them into a directory of its own."""
    output = place / "sentences-trained"
    _with_its_runs(whole, output, monkeypatch)
    file = _changed(
        place, "sentences", encoder={"backbone": "sentences", "max_tokens": 64}, teacher=None,
        training={**CONFIG["training"], "trainable": "all"},
    )  # fmt: skip
    result = curate.train(file, output)
    encoder = AirRep.from_pretrained(result.directory)
    assert encoder.model.config.token_pooling == "segments"
    name = "encoder.layer.0.output.dense.weight"
    before = load_file(place / "sentences" / "model.safetensors")[f"bert.{name}"]
    state = load_file(output / "training" / "training.safetensors")
    saved = load_file(result.directory / "model.safetensors")[f"bert.{name}"]
    untrained = load_file(output / "training" / "untrained" / "model.safetensors")[f"bert.{name}"]
    assert not state[f"weight.backbone.{name}"].equal(before), "all weights were trained"
    assert saved.equal(state[f"best.backbone.{name}"].half())
    assert untrained.equal(before.half())
    assert "Backbone: sentences; 24 dimensions" in (result.directory / "README.md").read_text()
    chosen = curate.select(demo_pool(30), demo_pool(2, seed=1), 3, encoder=result.directory)
    assert len(chosen) == 3


@pytest.mark.slow
def test_another_encoder_can_be_the_teacher(whole, place, monkeypatch):
    """Its cosines are followed; no gradients are made."""
    curate.fit(place / "pool.jsonl", place / "lm", place / "fitted", dim=16, max_tokens=64)
    output = place / "taught-by-another"
    _with_its_runs(whole, output, monkeypatch)
    file = _changed(
        place, "taught", encoder={"backbone": "sentences", "token_pooling": "levels"},
        teacher={"encoder": "fitted"},
        training={**CONFIG["training"], "start": "teacher", "dim": 16},
    )  # fmt: skip
    result = curate.train(file, output)
    assert AirRep.from_pretrained(result.directory).model.config.token_pooling == "levels"
    vectors, _ = read_array(output / "training" / "teacher.npy")
    assert vectors.shape[1] == 16
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    card = (result.directory / "README.md").read_text()
    assert "cosines of the encoder fitted were learned from as well, first of all, by regre" in card


def test_a_teacher_that_is_not_there_is_missed_before_any_run(place):
    file = _changed(place, "untaught", teacher={"encoder": "nowhere/at-all"})
    with pytest.raises(CurateError, match="nowhere/at-all"):
        curate.train(file, place / "untaught-trained")
    assert not (place / "untaught-trained" / "split-0").exists()


def test_a_teacher_of_fewer_numbers_is_refused_before_any_run(place):
    training = {**CONFIG["training"], "start": "teacher"}
    file = _changed(place, "narrow", teacher={"rank": 1}, training=training)
    with pytest.raises(CurateError, match=r"training\.dim is 24; the teacher's .* 14 numbers"):
        curate.train(file, place / "narrow-trained")
    assert not (place / "narrow-trained" / "split-0").exists()


@pytest.mark.slow
def test_an_encoder_of_gradients_learns_from_runs_that_are_there(
    whole, place, monkeypatch, few_draws
):
    output = place / "gradients-trained"
    _with_its_runs(whole, output, monkeypatch)
    changes = {"encoder": {"token_pooling": "gradient", "max_tokens": 64}, "teacher": None}
    file = _changed(place, "gradients", **changes)
    result = curate.train(file, output)
    trained, untrained = (
        AirRep.from_pretrained(d) for d in (result.directory, output / "training" / "untrained")
    )
    for encoder in (trained, untrained):
        assert encoder.model.config.token_pooling == "gradient"
        assert not encoder.model.config.normalize
        for one, other in zip(
            encoder.model.gradient.parameters(), trained.model.gradient.parameters(), strict=True
        ):
            assert one.equal(other), "directions are fitted, not learned"
    best = json.loads((output / "training" / "learned.json").read_text())["best"]
    assert (untrained.fingerprint == trained.fingerprint) == (best == 0)
    assert untrained.attention_scale == 5.0
    assert (
        "the language model itself, by its gradients"
        in (result.directory / "README.md").read_text()
    )
    assert {"trained", "untrained"} <= {row["method"] for row in result.attribution}
    chosen = curate.select(demo_pool(30), demo_pool(2, seed=1), 3, encoder=result.directory)
    assert len(chosen) == 3


# --- what is refused, before any run ---


def test_a_directory_belongs_to_one_config_and_its_rows(whole, place, tmp_path, capsys):
    file = _changed(place, "other", seed=1, use=None)
    assert cli.main(["train", str(file), "--output", str(whole[0])]) == 1
    message = "holds another training (config.json: seed, use differ); use another directory"
    assert message in capsys.readouterr().err
    recorded = json.loads((whole[0] / "config.json").read_text())
    del recorded["digest"]
    shutil.copy(place / "pool.jsonl", tmp_path / "pool.jsonl")
    with (tmp_path / "pool.jsonl").open("a") as stream:
        stream.write('{"prompt": "new", "completion": "row", "task": "t"}\n')
    (tmp_path / "out").mkdir()
    for name in ("config.json", "inputs.json"):
        shutil.copy(whole[0] / name, tmp_path / "out" / name)
    recorded["pool"] = str(tmp_path / "pool.jsonl")
    (tmp_path / "out" / "config.json").write_text(json.dumps(recorded))
    with pytest.raises(OutputError, match=r"another training \(inputs\.json: pool differ\)"):
        curate.train(recorded, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"dim": 5000}}, r"training\.dim is 5000; the encoder has 1056 features"),
        ({"encoder": {"token_pooling": "mean"}}, r"token_pooling 'mean' is not for"),
        (
            {"encoder": {"token_pooling": "gradient"}, "training": {"dim": 8, "trainable": "all"}},
            r"train the 'projector'",
        ),
        ({"evaluation": {**CONFIG["evaluation"], "methods": {"best": {}}}}, r"'best' is unknown"),
        ({"runner": "stacked", "recipe": {"trainable": "last:9"}}, r"last:9"),
        ({"evaluation": {"attribution": {"size": 101}}}, r"100 rows are held out of the 400 of po"),
    ],
)
def test_what_would_fail_later_fails_at_once(changes, message, place, tmp_path):
    with pytest.raises(ArgumentError, match=message):
        curate.train(_changed(place, "impossible", **changes), tmp_path / "never")
    assert not _contents(tmp_path), "so that a config that was mended can be used"


def test_adapters_that_cannot_be_made_are_refused_before_any_run(place, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    file = _changed(place, "adapters", training={**CONFIG["training"], "trainable": "lora:2"})
    with pytest.raises(ArgumentError, match=r"pip install 'airrep-curate\[lora\]'"):
        curate.train(file, tmp_path / "never")
    assert not _contents(tmp_path)


def test_launchers_are_refused(place, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ArgumentError, match="start the same command several times"):
        curate.train(place / "train.yaml", tmp_path / "never")


def test_paths_are_relative_to_the_config_and_default_is_a_name(place):
    (place / "default").mkdir(exist_ok=True)
    evaluation = {"test": "targets.jsonl", "methods": {"airrep": {"encoder": "sentences"}}}
    values = load_config(
        _changed(place, "paths", encoder={"backbone": "default"}, evaluation=evaluation),
        PATHS, ["default"],
    )  # fmt: skip
    assert values["model"] == str(place / "lm")
    assert values["pool"] == str(place / "pool*.jsonl")
    assert values["encoder"]["backbone"] == "default"
    assert values["evaluation"]["test"] == str(place / "targets.jsonl")
    assert values["evaluation"]["methods"]["airrep"]["encoder"] == str(place / "sentences")


def test_the_documented_config_has_every_setting(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")
    block = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[-1]
    (tmp_path / "config.yaml").write_text(block)
    given = load_config(tmp_path / "config.yaml", PATHS, ["default"])
    shown = asdict(read_settings(EncoderTrainingConfig, given))
    free = ("columns", "methods")

    def keys(values, where=""):
        for key, value in values.items():
            yield where + key
            if isinstance(value, dict) and key not in free:
                yield from keys(value, f"{where}{key}.")

    assert sorted(keys(given)) == sorted(keys(shown))
    plenty = 10**9  # rows, for numbers that few rows would make smaller
    default = asdict(
        settled(
            EncoderTrainingConfig("", "", ""),
            plenty,
            AttributionConfig().sizes(plenty, plenty, plenty),
        )
    )
    chosen = ("model", "pool", "targets", "columns", "recipe", "supervision", "use")
    for key in set(default) - {*chosen}:
        assert shown[key] == default[key], "the example shows defaults, where a default will do"
