"""How the gradient method's rank and damping were chosen: LDS on the validation part.

    python examples/t0/gradient_damping.py --results out/t0/results

Needs the runs that `curate benchmark examples/t0/benchmark.yaml` recorded. Looks at validation
subsets and validation examples alone. Writes a Markdown table: LDS with attention at each
setting's best scale, and with the sum.
"""

import argparse
from pathlib import Path

from airrep.language_model.model import LanguageModel
from airrep.supervision import SubsetLosses
from curate.configs.files import load_config
from curate.rows.io import read_rows
from curate.verbs.benchmark import PATHS
from eval_harness.benchmark.attribution import Attribution
from eval_harness.benchmark.config import read_config
from eval_harness.measures.datamodeling import lds_of_predictions
from eval_harness.measures.predictions import group_predictions
from selection.features import KnownFeatures
from selection.scorers import GradientScorer

HERE = Path(__file__).parent
RANKS, DAMPINGS = (16, 32), (0.03, 0.3, 3.0, 30.0, 300.0)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--config", type=Path, default=HERE / "benchmark.yaml")
    options.add_argument("--results", type=Path, default=Path("out/t0/results"))
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
    print("| rank | preconditioner | LDS, attention | scale | LDS, sum |\n|---|---|---:|---:|---:|")
    for rank in RANKS:
        everything = [*part.pool, *validation]
        known = KnownFeatures(
            everything, GradientScorer(model, rank=rank).features(everything, progress=True)
        )
        plain = GradientScorer(model, rank=rank, preconditioner="none", known=known)
        scorers = {"none": plain} | {
            f"Fisher, damping {d:g}": GradientScorer(model, rank=rank, damping=d, known=known)
            for d in DAMPINGS
        }
        for name, scorer in scorers.items():
            scores = scorer.score(validation, part.pool)

            def lds(pooling: str, scale: float, scores=scores) -> float:
                guess = group_predictions(scores, subsets, pooling, scale)
                return lds_of_predictions(guess, losses, draws=0).mean

            best = max(
                config.attribution.scales, key=lambda scale, lds=lds: lds("attention", scale)
            )
            found = f"{lds('attention', best):.3f} | {best:g} | {lds('sum', 1.0):.3f}"
            print(f"| {rank} | {name} | {found} |", flush=True)


if __name__ == "__main__":
    main()
