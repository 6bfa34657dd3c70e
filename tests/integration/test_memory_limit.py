"""Under a limit of memory a run, or scoring, is refused with what would fit, or gets to its end."""

import json
import re
import shutil

import pytest

from airrep.gradients.memory import scoring_memory
from curate.demo_data import demo_pool
from eval_harness.runners.memory import training_memory

# The command line, in a process that can take so many bytes more than its imports did.
LIMITED = """
    import resource, sys, psutil
    from airrep.machine.memory import available_memory
    from curate.cli import main
    import eval_harness.runs.subset_runs, eval_harness.runners.memory, curate.verbs.record
    import curate.stages.scoring_memory, curate.verbs.select, selection.scorers.nudge
    most = psutil.Process().memory_info().vms + int(sys.argv.pop(1))
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_lm):
    """Rows, and a model of 60 million weights: its files but for the weights, and the config."""
    from transformers import LlamaConfig

    folder = tmp_path_factory.mktemp("limited")
    rows = demo_pool(14)
    for name, part in (("pool", rows[:10]), ("held_out", rows[10:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    shutil.copytree(tiny_lm, folder / "lm")
    (folder / "lm" / "model.safetensors").unlink()
    config = LlamaConfig(
        vocab_size=512, hidden_size=512, intermediate_size=2048, num_hidden_layers=14,
        num_attention_heads=8, max_position_embeddings=256, pad_token_id=0, eos_token_id=1,
        bos_token_id=None,
    )  # fmt: skip
    config.save_pretrained(folder / "lm")
    return folder, config


@pytest.fixture
def record(program, place):
    """Run `curate record` within so many bytes; the program that ended."""

    def run(room, *options, output="runs"):
        words = ["record", "--pool", "pool.jsonl", "--evaluation", "held_out.jsonl"]
        words += ["--model", "lm", "--output", output, "--subsets", "3", "--size", "2"]
        words += ["--repeats", "1", "--epochs", "1", "--precision", "float32", *options]
        done = program(LIMITED, room, *words, folder=place[0], OMP_NUM_THREADS="1")
        return done.wait(), done

    return run


def test_what_does_not_fit_is_refused_before_anything_is_loaded(record, place):
    """There are no weights to load."""
    needed = training_memory(place[0] / "lm", "all", longest=64, narrow=False).total
    status, done = record(needed)  # of which three quarters may be taken
    assert status == 1
    assert re.match(r"curate record: lm: training all takes about 3\.\d GiB", done.stderr)
    ways = done.stderr.split("What would fit: ")[1].split("; ")
    assert len([way for way in ways if way.startswith("--trainable")]) >= 3
    assert not (place[0] / "runs" / "plan.json").exists()


@pytest.fixture
def select(program, place):
    """Run `curate select` by a scorer within so many bytes; the program that ended."""

    def run(room, scorer):
        words = ["select", "--pool", "pool.jsonl", "--targets", "held_out.jsonl", "--k", "2"]
        words += ["--scorer", scorer, "--model", "lm"]
        hidden = {"ONEDNN_MAX_CPU_ISA": "AVX2"}  # computed in float32 on any CPU
        done = program(LIMITED, room, *words, folder=place[0], OMP_NUM_THREADS="1", **hidden)
        return done.wait(), done

    return run


@pytest.mark.parametrize("scorer", ["gradient", "gradient_adam"])
def test_scoring_that_does_not_fit_is_refused_before_anything_is_loaded(select, place, scorer):
    needed = scoring_memory(place[0] / "lm", scorer, narrow=False).total
    status, done = select(needed, scorer)
    assert status == 1
    assert f"curate select: lm: scoring by {scorer} takes about" in done.stderr
    ways = done.stderr.split("What would fit: ")[1].split("; ")
    assert len(ways) >= 4
    assert ways[0].startswith(("--model-dtype", "--scorer gradient"))
    assert "--scorer rds takes" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("scorer", ["rds", "gradient", "gradient_adam", "nudge"])
def test_scoring_that_fits_by_the_formula_gets_to_its_end(select, place, scorer):
    from transformers import LlamaForCausalLM

    folder, config = place
    LlamaForCausalLM(config).save_pretrained(folder / "lm")
    needed = scoring_memory(folder / "lm", scorer, narrow=False, longest=256).total
    status, done = select(int(1.01 * needed / 0.75), scorer)
    assert status == 0, done.stderr[-2000:]
    assert "nothing written" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("trainable", ["all", "last:1", "lora:4"])
def test_what_fits_by_the_formula_runs_to_its_end(record, place, trainable):
    from transformers import LlamaForCausalLM

    folder, config = place
    LlamaForCausalLM(config).save_pretrained(folder / "lm")
    needed = training_memory(folder / "lm", trainable, longest=256, narrow=False).total
    output = f"runs-{trainable.replace(':', '-')}"
    room = int(1.01 * needed / 0.75)
    status, done = record(room, "--trainable", trainable, output=output)
    assert status == 0, done.stderr[-2000:]
    assert "3 subsets" in done.stdout
