from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from airrep import AirRep
from airrep.disk.locks import try_lock

# Files that take longest, which are begun first: no process is left with one at the end.
LONGEST = [
    "test_trl_hooks", "test_ray", "test_torture", "test_encoder_training", "test_curate_train",
    "test_benchmark", "test_documents", "test_select", "test_report_browser", "test_engines",
    "test_attribution_cost", "test_evidence", "test_runners", "test_training", "test_command_line",
    "test_cli", "test_kill_and_resume", "test_processes", "test_real_data", "test_subset_runs",
    "test_packaging", "test_exports", "test_package", "test_scorer_choice",
]  # fmt: skip
# What a program needs before it does anything: ten times as long as what most of them do.
IMPORTED = [
    "datasets", "faiss", "matplotlib.pyplot", "pandas", "peft", "pytest", "scipy.stats",
    "sklearn.feature_extraction.text", "trl", "torch.distributed.launcher.api",
    "transformers.models.bert.modeling_bert", "transformers.models.llama.modeling_llama",
    "airrep.training.loop", "curate.verbs.select", "curate.cli", "eval_harness.benchmark.run",
    "eval_harness.encoder_training.run",
]  # fmt: skip
# Around a program's text: where it is, what it was called with, where it writes to.
BEGIN = """
import os, sys
os.chdir(folder)
os.environ.clear()
os.environ.update(variables)
for number, name in ((1, "stdout"), (2, "stderr")):
    os.dup2(os.open(f"{log}.{name}", os.O_WRONLY | os.O_CREAT), number)
    setattr(sys, name, open(number, "w", buffering=1, closefd=False))
sys.argv = ["program", *arguments]
exec(compile(text, "program", "exec"), {"__name__": "__main__"})
"""
# What `python -m torch.distributed.run --standalone --nproc_per_node 2` does with a program.
TOGETHER = """
from uuid import uuid4
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
given = {"__name__": "__main__"}
config = LaunchConfig(
    min_nodes=1, max_nodes=1, nproc_per_node=2, run_id=str(uuid4()), rdzv_backend="c10d",
    rdzv_endpoint="localhost:0", start_method="fork", monitor_interval=0.1,
)
elastic_launch(config, exec)(compile(sys.argv.pop(1), "program", "exec"), given)
"""


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


class Program:
    """Python in a process of its own, forked from one that has imported everything already."""

    def __init__(self, text, arguments, log, folder=None, **variables):
        self._log = log
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        given = {
            "text": dedent(text), "arguments": [str(argument) for argument in arguments],
            "log": str(log), "folder": str(folder or Path.cwd()),
            "variables": {**os.environ, **variables},
        }  # fmt: skip
        self._process = context.Process(target=exec, args=(BEGIN, given))
        self._process.start()
        self.pid = self._process.pid

    def poll(self):
        """Its exit status, minus the signal that ended it, or None while it is at work."""
        return self._process.exitcode

    def wait(self, seconds=240):
        """The status when it has ended."""
        self._process.join(seconds)
        status = self._process.exitcode
        if status is None:
            self._process.kill()
            self._process.join()
            pytest.fail(f"a program did not end in {seconds} s; it said {self.stderr}")
        return status

    @property
    def stdout(self):
        """What it has printed until now."""
        return self._written("stdout")

    @property
    def stderr(self):
        """What it has complained about until now."""
        return self._written("stderr")

    def _written(self, name):
        file = Path(f"{self._log}.{name}")
        return file.read_text("utf-8", errors="replace") if file.exists() else ""


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """Start a `Program` of a text and its arguments; `folder` is where, others are variables."""
    logs = tmp_path_factory.mktemp("programs")
    started = []

    def start(text, *arguments, folder=None, **variables):
        started.append(Program(text, arguments, logs / str(len(started)), folder, **variables))
        return started[-1]

    yield start
    for each in started:
        if each.poll() is None:  # of a test that failed
            os.kill(each.pid, signal.SIGKILL)


def wait_until(condition, what, seconds=240, *, of=None):
    """Wait until a condition holds and return its value; the test fails if it does not come about.

    Args:
        condition: Called again and again without arguments, until it returns something true.
        what: What is awaited, for the message.
        seconds: How long to wait. Far longer than it takes: a busy machine is no failure.
        of: The `Program` that brings it about; when it has ended, nothing more is to come.
    """
    deadline = time.monotonic() + seconds
    while True:
        ended = of is not None and of.poll() is not None  # before the look, which is then the last
        if found := condition():
            return found
        if ended:
            pytest.fail(f"waited for {what}; the program ended before ({of.poll()}): {of.stderr}")
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s for {what}; it did not come")
        time.sleep(0.01)


@pytest.fixture(scope="session", name="wait_until")
def _wait_until():
    """See `wait_until`."""
    return wait_until


@pytest.fixture(scope="session")
def together(program):
    """Run a program's text to its end in two processes, as torchrun starts them."""

    def run(text, *arguments):
        variables = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
        done = program("import sys" + TOGETHER, dedent(text), *arguments, **variables)
        assert done.wait() == 0, done.stderr[-3000:]

    return run


@pytest.fixture
def own_home(tmp_path_factory, monkeypatch):
    """A home of the test's own, in bash: what is installed for a user goes there."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.delenv("ZSH_VERSION", raising=False)
    monkeypatch.setenv("BASH_VERSION", "5")  # a machine may have neither `ps` nor $SHELL
    return home


@pytest.fixture
def written_under(monkeypatch):
    """Watch what gets its name: file names, and whether a lock was held then, by whomever."""

    def watch(lock):
        rename, seen = Path.replace, {}

        def watched(source, target):
            free = try_lock(lock)
            seen[Path(target).name] = free is None
            if free is not None:
                free.release()
            return rename(source, target)

        monkeypatch.setattr(Path, "replace", watched)
        return seen

    return watch


@pytest.fixture(scope="session")
def encoder() -> AirRep:
    """The encoder that ships with the package; treat it as read-only."""
    return AirRep.default()


@pytest.fixture(scope="session")
def tiny_lm(tmp_path_factory):
    """Directory of a random 2-layer Llama with a byte-level BPE tokenizer of its own."""
    from tokenizers import Tokenizer
    from tokenizers.decoders import ByteLevel as ByteLevelDecoder
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    from curate.demo_data import demo_pool

    directory = tmp_path_factory.mktemp("tiny_lm")
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=512, special_tokens=["<pad>", "<eos>"], initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator((row["prompt"] for row in demo_pool(200)), trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", model_max_length=256
    ).save_pretrained(directory)
    set_seed(0)
    config = LlamaConfig(
        vocab_size=512, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=256,
        pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def make_lm(tiny_lm):
    """Build a language model of `tiny_lm`'s size whose weights are large enough to matter."""
    import torch
    from transformers import (
        AutoTokenizer,
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
    )

    from airrep.language_model.model import LanguageModel
    from airrep.language_model.tokens import LanguageModelFormat

    special = {"vocab_size": 512, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}

    def build(kind="llama", dtype=torch.float64, seed=0):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            if kind == "llama":
                config = LlamaConfig(
                    **special, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                    num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=256,
                    initializer_range=0.2,
                )  # fmt: skip
                network = LlamaForCausalLM(config)
            else:
                config = GPT2Config(
                    **special, n_embd=32, n_layer=2, n_head=2, n_positions=256,
                    initializer_range=0.2,
                )  # fmt: skip
                network = GPT2LMHeadModel(config)
        tokenizer = AutoTokenizer.from_pretrained(tiny_lm)
        made = LanguageModelFormat(max_tokens=256)
        return LanguageModel(network.to(dtype).eval(), tokenizer, kind, made)

    return build


@pytest.fixture(scope="session")
def plain_losses():
    """Mean completion-token loss of each example, alone, from the network's full logits."""
    import torch

    def compute(model, examples):
        losses = []
        for tokens in model.tokenize(examples):
            ids = torch.tensor([tokens.ids])
            log_p = model.network(ids).logits[0, :-1].log_softmax(-1)
            picked = log_p.gather(1, ids[0, 1:, None])[tokens.start - 1 :, 0]
            losses.append(-picked.mean())
        return torch.stack(losses)

    return compute


@pytest.fixture(scope="module")
def few_draws():
    """Adam's moments from a few batches: of a handful of rows a hundred say no more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airrep.gradients.moments._MOST_DRAWS", 4)
        yield


WORDS = [
    "river", "stone", "green", "question", "answer", "why", "two", "what", "apple", "moon", "iron",
    "cloud", "seven", "fish", "north", "salt", "glass", "bird", "rope", "door",
]  # fmt: skip


def planted_problem(encoder, seed=0, splits=2, rows=60, targets=20, subsets=40, size=6):
    """Supervision that can be learned: influence is an inner product of hidden vectors.

    They are linear in the encoder's features, and few of these matter, so that an untrained encoder
    is bad at it. Returns splits to learn from, a validation split, and a teacher.
    """
    from scipy.stats import spearmanr

    from airrep.records import Example
    from airrep.training.rows import Supervision, Teacher, Validation

    rng = np.random.default_rng(seed)

    def say(least, most):
        return " ".join(rng.choice(WORDS, rng.integers(least, most + 1)))

    count = (splits + 1) * (rows + targets)
    examples = [Example(str(i), say(1, 4), say(1, 3), row=i) for i in range(count)]
    features = encoder.features([encoder.template.render(e) for e in examples]).astype(np.float64)
    main = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)[0][:, :12]
    hidden = main @ rng.normal(size=(12, 2))
    hidden /= np.linalg.norm(hidden, axis=1, keepdims=True)
    made = []
    for start in range(0, count, rows + targets):
        pool = np.arange(start, start + rows)
        asked = np.arange(start + rows, start + rows + targets)
        drawn = [rng.choice(rows, size, replace=False) for _ in range(subsets)]
        losses = [2 - (hidden[asked] @ hidden[pool[chosen]].T).mean(axis=1) for chosen in drawn]
        made.append(
            Supervision(
                [examples[i] for i in pool], [examples[i] for i in asked], drawn,
                np.stack(losses)[:, None],
            )
        )  # fmt: skip
    *learned, held = made

    def lds(predicted):
        better = -held.losses[:, 0]
        return np.mean([spearmanr(predicted[:, i], better[:, i]).statistic for i in range(targets)])

    validation = Validation(held.pool, held.examples, held.subsets, lds)
    taught = splits * (rows + targets)
    teacher = Teacher(examples[:taught], hidden[:taught].astype(np.float32))
    return learned, validation, teacher


@pytest.fixture(scope="session")
def planted():
    """See `planted_problem`."""
    return planted_problem
