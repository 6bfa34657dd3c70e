"""What makes `gradient_adam` foresee more than `gradient`: LDS on validation, step by step.

    python examples/t0/adam_gradient.py --results out/t0/evaluation/seen

Needs the runs that `curate benchmark examples/t0/encoder/seen.yaml` recorded. Looks at validation
subsets and validation examples alone. Writes a Markdown table: LDS with attention at each setting's
best scale, and with the sum.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from airrep.gradients.features import reduced_gradients
from airrep.gradients.moments import adam_metric, second_moments
from airrep.gradients.reductions import Sketch
from airrep.language_model.model import LanguageModel
from airrep.supervision import SubsetLosses
from curate.configs.files import load_config
from curate.rows.io import read_rows
from curate.verbs.benchmark import PATHS
from eval_harness.benchmark.attribution import Attribution
from eval_harness.benchmark.config import read_config
from eval_harness.measures.datamodeling import lds_of_predictions
from eval_harness.measures.predictions import group_predictions
from selection.scorers import GradientScorer
from selection.scorers.gradient import unit
from selection.scores import DenseScores, Scores

HERE = Path(__file__).parent
WIDTHS = (1024, 4096, 16384)
AT_ONCE = 128  # pool rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--config", type=Path, default=HERE / "encoder" / "seen.yaml")
    options.add_argument("--results", type=Path, default=Path("out/t0/evaluation/seen"))
    args = options.parse_args()
    config = read_config(load_config(args.config, PATHS))
    pool, targets, test = (
        list(read_rows(path, name).examples(config.columns).examples)
        for name, path in (
            ("pool", config.pool),
            ("targets", config.targets),
            ("test", config.test),
        )
    )
    part = Attribution.draw(config.attribution, pool, targets, test, args.results, config.seed)
    measured = SubsetLosses.load(args.results / f"runs-{config.recipe.trainable}")
    measured.plan.check(part.pool, part.evaluation)
    model = LanguageModel.from_pretrained(config.model, max_tokens=config.max_tokens)
    positions, subsets = part.part("validation")
    validation = [part.evaluation[i] for i in positions]
    subsets = part.plan.subsets[subsets]
    losses = part.losses(measured, "validation")
    print("| gradients | LDS, attention | scale | LDS, sum |\n|---|---:|---:|---:|")
    for name, scores in scored(model, validation, part.pool):

        def lds(pooling: str, scale: float, scores=scores) -> float:
            guess = group_predictions(scores, subsets, pooling, scale)
            return lds_of_predictions(guess, losses, draws=0).mean

        best = max(config.attribution.scales, key=lambda scale, lds=lds: lds("attention", scale))
        found = f"{lds('attention', best):.3f} | {best:g} | {lds('sum', 1.0):.3f}"
        print(f"| {name} | {found} |", flush=True)


def scored(model: LanguageModel, targets: list, pool: list) -> Iterator[tuple[str, Scores]]:
    """Name and scores of each setting."""
    for preconditioner in ("none", "fisher"):
        scorer = GradientScorer(model, preconditioner=preconditioner)
        yield f"projected on two sides, rank 32, {scorer.name}", scorer.score(targets, pool)
    moments = second_moments(model, pool)
    plain = {name: torch.ones_like(moment) for name, moment in moments.items()}
    metric = {name: adam_metric(moment) for name, moment in moments.items()}
    cosines, _, _ = sketched(model, targets, pool, plain, WIDTHS[-1])
    yield f"whole, sketched to {WIDTHS[-1]} a layer, cosines", cosines
    for width in reversed(WIDTHS):
        cosines, summed, rooted = sketched(model, targets, pool, metric, width)
        if width == WIDTHS[-1]:
            yield "that, in Adam's metric", cosines
            yield "that, inner products of summed losses", summed
        yield f"that, rows over roots of their lengths, {width} a layer", rooted


def sketched(
    model: LanguageModel, targets: list, pool: list, weights: dict, width: int
) -> list[Scores]:
    """Cosines; inner products with gradients of summed losses; these over roots of lengths."""
    sketches = [Sketch(name, each, width, 0) for name, each in weights.items()]
    queries = unit(reduced_gradients(model, targets, sketches))
    made: list[list[np.ndarray]] = [[], [], []]
    for start in range(0, len(pool), AT_ONCE):
        part = pool[start : start + AT_ONCE]
        rows = reduced_gradients(model, part, sketches)
        lengths = np.linalg.norm(rows, axis=1)
        tokens = np.array([len(t.ids) - t.start for t in model.tokenize(part)])
        inner = queries @ rows.T
        made[0].append(inner / lengths)
        made[1].append(inner * tokens)
        made[2].append(inner * np.sqrt(tokens / lengths))
    # of unit variance, so that one grid of scales fits all
    matrices = [np.concatenate(parts, axis=1) for parts in made]
    return [DenseScores((m / (m.std() * 20)).astype(np.float32)) for m in matrices]


if __name__ == "__main__":
    main()
