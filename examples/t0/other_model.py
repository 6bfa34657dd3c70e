"""A second language model, of another kind than the first: does what holds for one hold for both?

    python examples/t0/other_model.py --data DIRECTORY_OF_T0 --prepared out/t0

A GPT-2 (learned positions, layer norms, GELU; the model that prepare.py copies is a Llama) of about
3 million parameters with the same tokenizer, trained from scratch on T0's `pretrain` split: on
prompts first, so that it knows the language, then, for a smaller share of the steps, on prompts
with their completions (a line break between them, the end-of-text token behind), so that it knows
the form and still has the tasks to learn. Writes a Hugging Face directory, and prints the
completion loss on rows of T0's test split before and after.

The number of steps is what fits into --minutes, found out by timing a few; to repeat a run exactly,
give the --steps that it printed: 1604 on the machine of docs/results.md, which took the loss from
9.14 to 4.99.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from torch.nn import functional
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from airrep import Example, normalize
from airrep.disk.atomic import atomic_directory
from airrep.language_model.batching import BUCKET, pad
from airrep.language_model.losses import completion_losses
from airrep.language_model.model import LanguageModel
from airrep.language_model.passes import autocast
from airrep.language_model.tokens import LanguageModelFormat

POSITIONS = 256  # prompts are cut here, so that every position is learned
PAIR_TOKENS = 128
TEST_TOKENS, TEST_ROWS = 96, 300
TOKENS_PER_BATCH = 2048
PAIR_SHARE = 0.2  # of the steps
WARM_UP = 50
TIMED = 24
Rows = list[list[int]]


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    options.add_argument("--data", type=Path, required=True, help="directory that holds t0.parquet")
    options.add_argument("--prepared", type=Path, default=Path("out/t0"), help="for its tokenizer")
    options.add_argument("--output", type=Path, default=Path("out/t0/other_model"))
    options.add_argument("--minutes", type=float, default=6.0)
    options.add_argument("--steps", type=int, help="instead of --minutes")
    options.add_argument("--learning-rate", type=float, default=3e-3)
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.prepared / "model")

    def new() -> LanguageModel:
        torch.manual_seed(args.seed)
        config = GPT2Config(
            vocab_size=len(tokenizer), n_embd=192, n_layer=3, n_head=6, n_positions=POSITIONS,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        network = GPT2LMHeadModel(config).eval()
        return LanguageModel(network, tokenizer, "GPT-2", LanguageModelFormat("\n", PAIR_TOKENS))

    model = new()
    examples = read(args.data / "t0.parquet", "pretrain")
    prompts = tokenizer(
        [e.prompt for e in examples], truncation=True, max_length=POSITIONS, verbose=False
    )["input_ids"]
    pairs = [tokens.ids for tokens in model.tokenize(examples)]
    tested = short(model, read(args.data / "t0.parquet", "test"), args.seed)
    size = sum(parameter.numel() for parameter in model.network.parameters())
    print(f"{size:,} parameters, {len(prompts):,} prompts of {sum(map(len, prompts)):,} tokens")
    before = completion_losses(model, tested)

    def train(network: LanguageModel, steps: int, show: bool = False) -> float:
        pair_steps = round(PAIR_SHARE * steps)
        parts = ((prompts, steps - pair_steps), (pairs, pair_steps))
        return fit(network, parts, args.learning_rate, args.seed, show)

    steps = args.steps or fitting(lambda count: train(new(), count), args.minutes)
    print(f"--steps {steps} of {TOKENS_PER_BATCH:,} tokens", flush=True)
    seconds = train(model, steps, show=True)
    after = completion_losses(model, tested)
    with atomic_directory(args.output) as temporary:
        model.network.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
    print(
        f"\n{args.output}: trained for {seconds:.0f} s; completion loss of {len(tested)} test rows "
        f"of at most {TEST_TOKENS} tokens: {before.mean():.3f} before, {after.mean():.3f} after "
        f"(uniform: {math.log(len(tokenizer)):.3f})"
    )


def read(file: Path, split: str) -> list[Example]:
    rows = pq.read_table(file, filters=[("split", "=", split)]).to_pylist()
    return [replace(normalize(row, index=i), row=i) for i, row in enumerate(rows)]


def short(model: LanguageModel, examples: Sequence[Example], seed: int) -> list[Example]:
    """TEST_ROWS of the examples that have at most TEST_TOKENS tokens."""
    lengths = [len(tokens.ids) for tokens in model.tokenize(examples)]
    fitting = [e for e, n in zip(examples, lengths, strict=True) if n <= TEST_TOKENS]
    drawn = np.random.default_rng(seed).permutation(len(fitting))[:TEST_ROWS]
    return [fitting[i] for i in drawn]


def fitting(train: Callable[[int], float], minutes: float) -> int:
    """How many steps take so long, judged by a few on a model that is thrown away."""
    train(TIMED // 4)
    return max(1, int(60 * minutes * TIMED / train(TIMED)))


def fit(
    model: LanguageModel,
    parts: Sequence[tuple[Rows, int]],
    learning_rate: float,
    seed: int,
    show: bool,
) -> float:
    """Train on each part's rows for so many steps, one schedule for all; the seconds it took."""
    network, steps = model.network, sum(count for _, count in parts)
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.05
    )

    def schedule(step: int) -> float:
        warmed = min(1.0, (step + 1) / WARM_UP)
        return warmed * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
    network.train()
    start, done = time.perf_counter(), 0
    for rows, count in parts:
        source = batches(rows, rng)
        for _ in range(count):
            chosen = next(source)
            length = -(-max(map(len, chosen)) // BUCKET) * BUCKET
            ids, mask = pad(chosen, length, int(model.tokenizer.pad_token_id))
            with autocast(model, "auto"):
                logits = network(ids, attention_mask=mask, use_cache=False).logits[:, :-1]
            wanted = ids[:, 1:].masked_fill(mask[:, 1:] == 0, -100)
            loss = functional.cross_entropy(logits.flatten(0, 1).float(), wanted.flatten())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            done += 1
            if show and (done % 50 == 0 or done == steps):
                seconds = time.perf_counter() - start
                print(f"step {done}/{steps}, {seconds:.0f} s: loss {loss.item():.3f}", flush=True)
    network.eval()
    return time.perf_counter() - start


def batches(rows: Rows, rng: np.random.Generator) -> Iterator[Rows]:
    """Rows of like length together, in random order, for ever."""
    rows = [row for row in rows if len(row) > 1]
    while True:
        order = rng.permutation(len(rows)).tolist()
        order.sort(key=lambda i: -(-len(rows[i]) // BUCKET))  # stable: random within a bucket
        made: list[Rows] = [[]]
        for i in order:
            width = -(-len(rows[i]) // BUCKET) * BUCKET
            if made[-1] and width * (len(made[-1]) + 1) > TOKENS_PER_BATCH:
                made.append([])
            made[-1].append(rows[i])
        for number in rng.permutation(len(made)):
            yield made[number]


if __name__ == "__main__":
    main()
