"""Does the influence of a preference foresee what DPO on it does to a target preference?

Preferences are T0 rows: chosen is the row's completion, rejected that of another row of its
source. For each pool preference, the language model takes a few steps of DPO on it alone, from
the same weights, and the DPO loss of every target preference is measured before and after. Scores
are compared with how far the losses fell: mean over targets of the rank correlation over the pool,
with a bootstrap interval over targets.

    python examples/benchmarks/preference_scores.py --model shared/lab/lm
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from reporting import Report, Table, find_data, machine, parser, usable_cores
from scipy.stats import spearmanr
from torch.nn import functional

from airrep import AirRep, Example, normalize
from airrep.language_model.model import LanguageModel
from airrep.language_model.passes import training_batches
from airrep.language_model.token_losses import token_losses
from selection.scorers import EmbeddingScorer, GradientScorer, TfidfScorer
from selection.scorers.pairs import PairScorer

BETA = 0.1  # TRL's default
SOURCES = 4
LONGEST = 160  # tokens


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--model", required=True, help="directory of a causal language model")
    options.add_argument("--pool", type=int, default=120, help="preferences to train on, one each")
    options.add_argument("--targets", type=int, default=24)
    options.add_argument("--steps", type=int, default=3)
    options.add_argument("--learning-rate", type=float, default=1e-4)
    options.add_argument("--threads", type=int, default=usable_cores())
    args = options.parse_args()
    described = machine(args.threads)
    torch.set_num_threads(args.threads)
    model = LanguageModel.from_pretrained(args.model, device="cpu", max_tokens=LONGEST)
    pool, targets = preferences(find_data(args.data, "t0.parquet"), args.pool, args.targets)
    fell = measured(model, pool, targets, args.steps, args.learning_rate)
    gradient = GradientScorer(model, preconditioner="none", normalize="none", rank=64)
    scorers = {
        "gradient, chosen less rejected": PairScorer(gradient),
        "gradient, chosen alone": gradient,
        "gradient_cosine, chosen less rejected": PairScorer(
            GradientScorer(model, preconditioner="none")
        ),
        "built-in encoder, chosen": EmbeddingScorer(AirRep.default()),
        "tfidf, chosen": TfidfScorer(),
    }
    with warnings.catch_warnings():  # of targets that share no word with the pool
        warnings.simplefilter("ignore", UserWarning)
        found = {name: scorer.score(targets, pool).values() for name, scorer in scorers.items()}
    rows = [(name, *interval(agreement(values, fell))) for name, values in found.items()]
    Report(
        "preference_scores",
        "Influence of preferences against what DPO does",
        f"{args.pool} pool preferences and {args.targets} targets of {SOURCES} T0 sources; "
        f"{args.steps} steps of Adam on one preference at a time.",
        {"steps": args.steps, "learning rate": args.learning_rate, "beta": BETA},
        described,
        [Table("Rank correlation with the fall of the targets' loss", ("scores", "mean", "low",
               "high"), rows, "Mean over targets; 95% of bootstrap draws of the targets.")],
    ).write(args.output)  # fmt: skip


def preferences(file: Path, pool: int, targets: int) -> tuple[list[Example], list[Example]]:
    """Pool and targets: rows of the commonest sources, against answers of other rows."""
    table = pq.read_table(file).to_pandas()
    short = table[(table.prompt.str.len() < 400) & (table.completion.str.len() < 80)]
    names = short.dataset.value_counts().index[:SOURCES]
    made = {}
    for split, count in (("pool", pool), ("test", targets)):
        rows: list[Example] = []
        for name in names:
            part = short[(short.dataset == name) & (short.split == split)]
            part = part.sample(n=count // SOURCES, random_state=0)
            answers = part.completion.tolist()
            for i, (prompt, chosen) in enumerate(zip(part.prompt, answers, strict=True)):
                rejected = next((a for a in answers[i:] + answers if a != chosen), chosen + " not")
                row = {"prompt": f"{prompt}\n", "chosen": chosen, "rejected": rejected}
                rows.append(normalize(row, index=len(rows)))
        made[split] = rows
    return made["pool"], made["test"]


def log_likelihoods(model: LanguageModel, rows: Sequence[Example]) -> torch.Tensor:
    """(n,) of each row's completion."""
    tokens = model.tokenize(rows)
    found: list[torch.Tensor | None] = [None] * len(tokens)
    for batch in training_batches(model, tokens, 4096):
        losses = token_losses(model.network, batch.ids, batch.mask, batch.trained)
        for i, each in zip(batch.members.tolist(), losses, strict=True):
            found[i] = -each.sum()
    return torch.stack([each for each in found if each is not None])


def margins(model: LanguageModel, rows: Sequence[Example]) -> torch.Tensor:
    """(n,) log-likelihood of the chosen answer less that of the rejected one."""
    against = [row.against for row in rows]
    others = [row for row in against if row is not None]
    both = log_likelihoods(model, [*rows, *others])
    return both[: len(rows)] - both[len(rows) :]


def measured(
    model: LanguageModel,
    pool: Sequence[Example],
    targets: Sequence[Example],
    steps: int,
    rate: float,
) -> np.ndarray:
    """(targets, pool) how far each target's DPO loss falls by training on each row alone."""
    network = model.network
    start = {name: weight.detach().clone() for name, weight in network.state_dict().items()}
    with torch.no_grad():
        reference, known = margins(model, targets), margins(model, pool)
    fell = []
    for row, before in zip(pool, known, strict=True):
        network.load_state_dict(start)
        optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.0)
        for _ in range(steps):
            loss = -functional.logsigmoid(BETA * (margins(model, [row])[0] - before))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            after = -functional.logsigmoid(BETA * (margins(model, targets) - reference))
        fell.append((np.log(2) - after).numpy())
    network.load_state_dict(start)
    return np.stack(fell, axis=1)


def agreement(scores: np.ndarray, fell: np.ndarray) -> np.ndarray:
    """(targets,) rank correlation over the pool."""
    pairs = zip(scores, fell, strict=True)
    return np.array(
        [0.0 if np.ptp(mine) == 0 else spearmanr(mine, theirs).statistic for mine, theirs in pairs]
    )


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean, and where 95% of bootstrap means lie."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (2000, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


if __name__ == "__main__":
    main()
