"""What a run and a gradient cost on real language models, beside a plain PyTorch loop.

    python examples/benchmarks/real_models.py --model DIRECTORY ... --data DIRECTORY_OF_T0

Every run trains on 100 rows of T0 of at most 160 tokens (two passes, batches of 20, learning rate
1e-4 falling to zero) and measures the losses of 200 others, in bfloat16 where there is such. A
plain loop takes the same tokens in the same batches, pads each batch to its longest row, and has
logits of completion tokens alone. Each runner has a process of its own; memory is the peak of the
process. What differs between the losses of the plain loop and of a runner is rounding.

Gradients are those of each row's mean completion loss with respect to all linear layers of the
blocks: projected, in the metric of Adam's moments, or (the plain loop) whole and thrown away.
Bergson takes them too, with projections of the same rank, if --peer-python names an environment
that has it (docs/benchmarks.md).
"""

import json
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from reporting import Report, Table, find_data, machine, parser, peak_mib, run_worker

from airrep import normalize
from airrep.gradients.features import gradient_features
from airrep.language_model.hidden_states import hidden_state_features
from airrep.language_model.model import LanguageModel
from airrep.machine.hardware import fastest_dtype
from eval_harness.runners.base import TrainingRun
from eval_harness.runners.direct import DirectRunner
from eval_harness.runners.memory import training_memory
from eval_harness.runners.recipe import IGNORED, Recipe
from selection.scorers.gradient import GradientScorer

LONGEST, BATCH, RATE, EPOCHS, AT_ONCE = 160, 20, 1e-4, 2, 16
RUNS = ["plain", "all", "all, compiled", "last:2", "lora:16"]
GRADIENTS = ["plain", "gradient", "rds"]
PEER = Path(__file__).with_name("bergson_gradients.py")
WITHOUT_PEER = "Bergson is left out: --peer-python named no Python that has it."


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--model", nargs="+", help="directories of causal language models")
    options.add_argument("--rows", type=int, default=100, help="rows to train on")
    options.add_argument("--evaluated", type=int, default=200)
    options.add_argument("--scored", type=int, default=40, help="rows to take gradients of")
    options.add_argument("--runs", nargs="*", default=RUNS)
    options.add_argument("--gradients", nargs="*", default=GRADIENTS)
    options.add_argument("--peer-python", help="the Python of an environment with Bergson")
    options.add_argument("--threads", type=int, default=2)
    args = options.parse_args()
    if args.worker:
        print(json.dumps(measure(**args.worker)))
        return
    if not args.model:
        options.error("name at least one language model with --model")
    data = str(find_data(args.data, "t0.parquet"))
    described, tables = machine(args.threads), []
    for model in args.model:
        common = {"model": model, "data": data, "threads": args.threads}
        sizes = {"rows": args.rows, "evaluated": args.evaluated}
        if args.runs:
            tables.append(table_of_runs(args.runs, {**common, **sizes}))
        scored = {**common, "rows": args.scored}
        tables.append(table_of_gradients(args.gradients, scored, args.peer_python))
    Report(
        "real_models", "Runs and gradients of real language models",
        f"{args.rows} rows to train on, {args.evaluated} losses, {args.scored} rows to score; one "
        "measurement of each, every one in a process of its own.",
        {"models": " ".join(args.model), "threads": args.threads}, described, tables,
    ).write(args.output)  # fmt: skip


def table_of_runs(runs: list[str], common: dict) -> Table:
    found = {name: run_worker(__file__, {**common, "run": name}) for name in runs}
    reference = found.get("plain")
    rows = []
    for name, result in found.items():
        seconds = result["train"] + result["evaluate"]
        ratios = [None, None, None]
        if reference is not None and name != "plain":
            ratios[0] = f"{seconds / (reference['train'] + reference['evaluate']):.2f}"
            ratios[1] = f"{result['mib'] / reference['mib']:.2f}"
        if reference is not None and name.startswith("all"):
            apart = np.abs(np.array(result["losses"]) - reference["losses"])
            ratios[2] = f"{apart.mean():.4f}"
        estimated = None if name == "plain" else f"{result['estimate'] / result['mib']:.2f}"
        rows.append(
            [name, f"{result['train']:.1f}", f"{result['evaluate']:.1f}", ratios[0],
             round(result["mib"]), ratios[1], estimated, f"{np.mean(result['losses']):.3f}",
             ratios[2]]
        )  # fmt: skip
    return Table(
        f"Runs: {common['model'].rpartition('/')[2]}",
        ["run", "training, s", "losses, s", "time / plain", "memory, MiB", "memory / plain",
         "estimate / memory", "mean loss after", "mean difference in loss"],
        rows,
    )  # fmt: skip


def table_of_gradients(kinds: list[str], common: dict, peer: str | None) -> Table:
    found = {name: run_worker(__file__, {**common, "gradient": name}) for name in kinds}
    if peer:
        given = run_worker(__file__, {**common, "gradient": "tokens"})
        result = run_worker(str(PEER), {}, given, python=peer)
        found[f"Bergson {result['version']}"] = result
    rows = [
        [name, f"{result['rate']:.2f}", f"{result['cpu']:.3f}", result["width"],
         round(result["mib"])]
        for name, result in found.items()
    ]  # fmt: skip
    return Table(
        f"Gradients: {common['model'].rpartition('/')[2]}",
        ["features", "rows a second", "CPU s a row", "numbers a row", "memory, MiB"],
        rows,
        "" if peer else WITHOUT_PEER,
    )


def measure(
    model: str, data: str, threads: int, rows: int, evaluated: int = 0, run: str = "",
    gradient: str = "",
) -> dict[str, object]:  # fmt: skip
    torch.set_num_threads(threads)
    loaded = LanguageModel.from_pretrained(model)
    examples = draw(loaded, data, rows + evaluated)
    if gradient == "tokens":
        return for_the_peer(loaded, examples, threads)
    if gradient:
        return measure_gradient(loaded, examples, gradient)
    pool, evaluation = examples[:rows], examples[rows:]
    if run == "plain":
        return {**plain_loop(loaded, pool, evaluation), "mib": peak_mib()}
    trainable, *compiled = run.split(", ")
    recipe = Recipe(EPOCHS, RATE, BATCH, trainable)
    runner = DirectRunner(loaded, recipe, compiled=bool(compiled))
    if compiled:
        runner.train([TrainingRun(pool[:BATCH], 1)])  # the compiler's time is spent once
    start = now()
    trained = runner.train([TrainingRun(pool, 0)])
    middle = now()
    losses = trained.losses(evaluation)[0]
    end = now()
    estimate = training_memory(
        model,
        trainable,
        longest=LONGEST,
        narrow=fastest_dtype(loaded.network.device) is torch.bfloat16,
    )
    return {"train": middle - start, "evaluate": end - middle, "losses": losses.tolist(),
            "mib": peak_mib(), "estimate": estimate.total / 2**20}  # fmt: skip


def measure_gradient(model: LanguageModel, examples: list, kind: str) -> dict[str, object]:
    """Rows a second, after one row that nobody counts."""

    def compute(rows: list) -> int:
        if kind == "plain":
            return whole_gradients(model, rows)
        if kind == "rds":
            return hidden_state_features(model, rows).shape[1]
        return gradient_features(model, rows, rank=GradientScorer(model).rank).shape[1]

    compute(examples[:1])
    start, start_cpu = now(), time.process_time()
    width = compute(examples)
    seconds, cpu = now() - start, time.process_time() - start_cpu
    return {"rate": len(examples) / seconds, "cpu": cpu / len(examples), "width": width,
            "mib": peak_mib()}  # fmt: skip


def for_the_peer(model: LanguageModel, examples: list, threads: int) -> dict[str, object]:
    """The same rows as tokens and labels, and how gradients are taken of them here."""
    rows = []
    for tokens in model.tokenize(examples):
        labels = [IGNORED] * len(tokens.ids)
        for i in tokens.trained:
            labels[i] = tokens.ids[i]
        rows.append({"input_ids": tokens.ids, "labels": labels})
    narrow = fastest_dtype(model.network.device) is torch.bfloat16
    return {"model": model.name, "rows": rows, "rank": GradientScorer(model).rank,
            "narrow": narrow, "threads": threads}  # fmt: skip


def whole_gradients(model: LanguageModel, examples: list) -> int:
    """What a backward pass alone costs, row by row."""
    network = model.network
    blocks = network.base_model.layers
    network.requires_grad_(False)
    blocks.requires_grad_(True)
    for tokens in model.tokenize(examples):
        ids = torch.tensor([tokens.ids], device=network.device)
        with autocast(network.device):
            each = losses_of(network, ids, torch.ones_like(ids), [tokens])
        each.mean().backward()
        network.zero_grad()
    return sum(parameter.numel() for parameter in blocks.parameters())


def plain_loop(model: LanguageModel, pool: list, evaluation: list) -> dict[str, object]:
    """The same run, as one would write it."""
    network, recipe = model.network, Recipe(EPOCHS, RATE, BATCH)
    rows, targets = model.tokenize(pool), model.tokenize(evaluation)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.0, foreach=True)
    steps = recipe.steps(len(rows))
    start = now()
    for step, batch in enumerate(in_batches(recipe.order(len(rows), 0).tolist(), BATCH)):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step, steps)
        optimizer.zero_grad()
        summed_loss(model, [rows[i] for i in batch]).mean().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    middle = now()
    losses = np.zeros(len(targets))
    order = sorted(range(len(targets)), key=lambda i: len(targets[i].ids))
    with torch.no_grad():
        for some in in_batches(order, AT_ONCE):
            batch = [targets[i] for i in some]
            each = summed_loss(model, batch).split([len(tokens.trained) for tokens in batch])
            losses[list(some)] = [float(found.mean()) for found in each]
    return {"train": middle - start, "evaluate": now() - middle,
            "losses": losses.tolist()}  # fmt: skip


def in_batches(items: list, size: int) -> list:
    return [items[i : i + size] for i in range(0, len(items), size)]


def summed_loss(model: LanguageModel, batch: list) -> torch.Tensor:
    """The losses of a padded batch's completion tokens, row after row."""
    longest = max(len(tokens.ids) for tokens in batch)
    device = model.network.device
    ids = torch.full((len(batch), longest), model.tokenizer.pad_token_id, device=device)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens.ids)], mask[row, : len(tokens.ids)] = torch.tensor(tokens.ids), 1
    with autocast(device):
        return losses_of(model.network, ids, mask, batch)


def losses_of(network, ids, mask, batch) -> torch.Tensor:
    states = network.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
    at = [(row, i) for row, tokens in enumerate(batch) for i in tokens.trained]
    where, when = (torch.tensor(each) for each in zip(*at, strict=True))
    logits = network.lm_head(states[where, when - 1])
    return torch.nn.functional.cross_entropy(logits.float(), ids[where, when], reduction="none")


def autocast(device: torch.device) -> torch.autocast:
    narrow = fastest_dtype(device) is torch.bfloat16
    return torch.autocast(device.type, torch.bfloat16, enabled=narrow)


def now() -> float:
    """Seconds, when a GPU has done what it was asked for."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def draw(model: LanguageModel, data: str, count: int) -> list:
    """So many rows of T0 that are not too long, as conversations where the model has a template."""
    table = pq.read_table(data).to_pylist()
    found: list = []
    for i in np.random.default_rng(0).permutation(len(table)).tolist():
        row = {"prompt": table[i]["prompt"], "completion": table[i]["completion"]}
        if model.tokenizer.chat_template:
            row = {
                "prompt": [{"role": "user", "content": row["prompt"]}],
                "completion": [{"role": "assistant", "content": row["completion"]}],
            }
        example = normalize(row, index=i)
        if len(model.tokenize([example])[0].ids) <= LONGEST:
            found.append(example)
        if len(found) == count:
            break
    return found


if __name__ == "__main__":
    main()
