"""Fine-tune with stock TRL on T0, choosing the rows anew before each epoch (docs/trl.md).

    python examples/t0/reselect.py --prepared out/t0 --output out/t0/reselect

Takes what prepare.py wrote; the targets are 30 rows of each of six of its sources, and those
that the model gets wrong count for more. Run again after an interruption, it goes on from its last
checkpoint. Prints a line per round, and the loss on test rows of the targets' sources before and
after. `--weighting none` keeps one selection throughout, for comparison. On several processes:

    ACCELERATE_USE_CPU=true torchrun --nproc-per-node 2 examples/t0/reselect.py --batch-size 10
"""

import argparse
import json
from pathlib import Path

import numpy as np
from transformers import PrinterCallback
from trl import SFTConfig, SFTTrainer

from airrep import normalize
from airrep.language_model.losses import completion_losses
from airrep.language_model.model import LanguageModel
from airrep.machine.processes import rank
from curate.trl import LiveSelectionMixin, Reselect, last_checkpoint

SOURCES = ("common_gen", "gigaword", "glue_qqp", "paws_labeled_final", "qasc", "social_i_qa")
SEPARATOR = "\n"  # the lab model's, between prompt and completion; TRL joins them as they are


class Trainer(LiveSelectionMixin, SFTTrainer):
    """Stock, but for the rows that it samples."""


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    options.add_argument("--prepared", type=Path, default=Path("out/t0"))
    options.add_argument("--output", type=Path, default=Path("out/t0/reselect"))
    options.add_argument("--k", type=int, default=200, help="rows of a round")
    options.add_argument("--epochs", type=int, default=3, help="rounds")
    options.add_argument("--per-source", type=int, default=30, help="targets of each source")
    options.add_argument("--weighting", choices=("loss", "none"), default="loss")
    options.add_argument("--power", type=float, default=1.0, help="of the losses, for the weights")
    options.add_argument("--scorer", default="airrep", help="see curate select --help")
    options.add_argument("--selector", default="layered_greedy", help="see curate select --help")
    options.add_argument("--batch-size", type=int, default=20, help="rows per step and process")
    options.add_argument("--learning-rate", type=float, default=6e-4)
    options.add_argument("--seed", type=int, default=0, help="of the targets and of the training")
    args = options.parse_args()

    draws = np.random.default_rng(args.seed)
    by_source = read(args.prepared / "targets.jsonl")
    targets = [
        by_source[source][i]
        for source in SOURCES
        for i in draws.choice(len(by_source[source]), args.per_source, replace=False)
    ]
    reselect = Reselect(
        [row for rows in read(args.prepared / "pool.jsonl").values() for row in rows],
        targets, args.k, weighting=args.weighting, power=args.power, scorer=args.scorer,
        selector=args.selector, store=args.output / "embeddings",
    )  # fmt: skip
    config = SFTConfig(
        output_dir=str(args.output), num_train_epochs=args.epochs, seed=args.seed,
        per_device_train_batch_size=args.batch_size, learning_rate=args.learning_rate,
        warmup_steps=0, lr_scheduler_type="linear", bf16=False, use_cpu=True, max_length=128,
        gradient_checkpointing=False, save_steps=5, save_total_limit=2, report_to="none",
        logging_strategy="no", dataloader_pin_memory=False, disable_tqdm=True,
        model_init_kwargs={"dtype": "float32"},
    )  # fmt: skip
    trainer = Trainer(
        str(args.prepared / "model"), config, train_dataset=reselect.dataset, callbacks=[reselect]
    )
    trainer.remove_callback(PrinterCallback)  # the rounds are printed below
    trainer.train(resume_from_checkpoint=last_checkpoint(args.output))
    trainer.save_model(str(args.output / "model"))
    if rank() == 0:
        print_rounds(reselect)
        print(f"history: {reselect.save(args.output)}")
        for name in (args.prepared / "model", args.output / "model"):
            print(f"test loss of {name}: {test_loss(name, args.prepared):.3f} nats")


def read(file: Path) -> dict[str, list[dict]]:
    """Rows by source, their prompts ending as the model expects it."""
    found: dict[str, list[dict]] = {}
    for line in file.read_text("utf-8").splitlines():
        row = json.loads(line)
        found.setdefault(row["dataset"], []).append({**row, "prompt": row["prompt"] + SEPARATOR})
    return found


def print_rounds(reselect: Reselect) -> None:
    """A line per round: what it began with, and the largest sources of its rows."""
    print("round  step  churn  target loss  largest sources")
    for each in reselect.history:
        churn = "" if each.churn is None else f"{each.churn:.0%}"
        shares = ", ".join(f"{name} {share:.0%}" for name, share in list(each.shares.items())[:4])
        loss = float(np.mean(each.losses))
        print(f"{each.number:>5}{each.step:>6}{churn:>7}{loss:>13.3f}  {shares}")


def test_loss(model: Path, prepared: Path) -> float:
    """Mean over the sources of the completion loss on their test rows."""
    rows = read(prepared / "test.jsonl")
    loaded = LanguageModel.from_pretrained(model, separator="", device="cpu")
    losses = [
        completion_losses(loaded, [normalize(r) for r in rows[source]], dtype="float32").mean()
        for source in SOURCES
    ]
    return float(np.mean(losses))


if __name__ == "__main__":
    main()
