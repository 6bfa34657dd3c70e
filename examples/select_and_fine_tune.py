"""Select rows for a few targets, fine-tune on them, and on as many random rows, and compare.

    python examples/select_and_fine_tune.py MODEL POOL TARGETS --k 200 --output out/compare

MODEL is a causal language model (a directory or a hub id); POOL and TARGETS are files of rows. The
comparison here is training loss only; it shows the mechanics, not that the selection is better.
"""

import argparse
from pathlib import Path

import curate
from eval_harness import fine_tune


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("pool", type=Path)
    parser.add_argument("targets", type=Path)
    parser.add_argument("--k", type=int, default=200)
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--output", type=Path, default=Path("out/compare"))
    options = parser.parse_args()

    embeddings = options.output / "embeddings"
    for selector in ("layered_greedy", "random"):
        chosen = curate.select(
            options.pool, options.targets, options.k, selector=selector, store=embeddings,
            output=options.output / selector, progress=True,
        )  # fmt: skip
        outcome = fine_tune(
            chosen.to_trl(), options.model, options.output / selector / "model",
            epochs=options.epochs,
        )  # fmt: skip
        print(
            f"{selector}: {outcome.steps} steps, mean training loss {outcome.train_loss:.3f} nats"
        )


if __name__ == "__main__":
    main()
