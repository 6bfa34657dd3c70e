"""What the parts of a training are worth: LDS on validation, one thing changed at a time.

    cd examples/t0/encoder
    python ablation.py aligned.yaml --runs ../../../out/t0/aligned --output ../../../out/t0/ablation

RUNS is what `curate train` made with the same config: its recorded runs and its teacher are used
again, so each line costs the training of an encoder. Finished lines are kept. Validation is
what decides when a training stops, too, so a figure here is a little rosy, for all lines alike.
Nothing here sees test examples.
"""

import argparse
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from airrep.language_model.model import LanguageModel
from airrep.supervision import SubsetLosses
from curate.verbs.train import read_training
from eval_harness.encoder_training.config import EncoderTrainingConfig
from eval_harness.encoder_training.learning import learn
from eval_harness.encoder_training.rows import draw_all, share_out_rows, used_subsets

Change = dict[str, Any]


def changes(config: EncoderTrainingConfig) -> Iterator[tuple[str, Change, Change, int]]:
    """Name, other settings of the training, other settings, and how many splits are used."""
    splits = config.supervision.splits
    yield "as configured", {}, {}, splits
    yield "untrained", {"steps": 0}, {}, splits
    for pooling in sorted({"attention", "mean", "sum"} - {config.training.pooling}):
        yield f"pooled by {pooling}", {"pooling": pooling}, {}, splits
    yield "pairs not weighted", {"weighting": "none"}, {}, splits
    yield "without a teacher", {}, {"teacher": None}, splits
    yield "the teacher alone", {"least": 9.9, "most": 10.0}, {}, splits
    yield "scale from 1", {"scale": 1.0}, {}, splits
    yield "scale from 20", {"scale": 20.0}, {}, splits
    for count in [n for n in (1, 2, 3) if n < splits]:
        yield f"{count} of {splits} splits", {}, {}, count
    yield "uniform subsets alone", {}, {"use": ["uniform"]}, splits
    yield "half of a label its source's", {"source_share": 0.5}, {}, splits
    yield "adapters on the backbone, too", {"trainable": "lora:8", "steps": 60}, {}, splits


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("config", help="of `curate train`")
    options.add_argument("--runs", type=Path, required=True, help="what it made")
    options.add_argument("--output", type=Path, required=True)
    options.add_argument("--only", nargs="*", help="these lines")
    args = options.parse_args()
    config, files = read_training(args.config)
    splits, evaluation = draw_all(share_out_rows(files, config), config, args.runs / "evaluation")
    losses = [SubsetLosses.load(args.runs / f"split-{n}") for n in range(len(splits))]
    measured = SubsetLosses.load(args.runs / "evaluation" / f"runs-{config.recipe.trainable}")
    model = LanguageModel.from_pretrained(
        config.model, separator=config.separator, max_tokens=config.max_tokens
    )
    print("| changed | runs | LDS, validation | at step | seconds |\n|---|---:|---:|---:|---:|")
    for name, training, other, count in changes(config):
        if args.only and name not in args.only:
            continue
        changed = replace(config, training=replace(config.training, **training), **other)
        place = args.output / name.replace(" ", "_")
        if count == len(splits) and changed.teacher is not None:
            copy_teacher(args.runs / "training", place / "training")
        found = learn(
            changed, model, splits[:count], losses[:count], evaluation, measured, place,
            progress=False,
        )  # fmt: skip
        best = next(v["lds"] for v in found.history if v["step"] == found.best)
        runs = sum(len(used_subsets(split.plan, changed.use)) for split in splits[:count])
        seconds = "" if found.seconds is None else f"{found.seconds:.0f}"
        print(f"| {name} | {runs} | {best:.3f} | {found.best} | {seconds} |", flush=True)


def copy_teacher(made: Path, wanted: Path) -> None:
    """The teacher's vectors, which are the same for all trainings on all splits."""
    wanted.mkdir(parents=True, exist_ok=True)
    for file in made.glob("teacher.*"):
        if not (wanted / file.name).exists():
            shutil.copy(file, wanted)


if __name__ == "__main__":
    main()
