"""Whether k = "auto" trains better than 100 rows: the runs of auto_k.yaml and auto_k_steps.yaml.

    python examples/t0/auto_k.py out/t0

Prints the mean held-out loss of every arm with so many rows, and the paired differences: on the
same targets, with the same seed, measured on the same rows. Intervals (95%) are over sources.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from eval_harness.benchmark.tables import interval
from eval_harness.benchmark.trial_file import read_trial
from eval_harness.files.markdown import table

PROBLEM = ["source", "seed"]
CONTROLS = ("random", "same_source")
VARIANTS = {
    ("auto_k", "100"): "100 rows, 2 epochs",
    ("auto_k", "auto"): "auto, 2 epochs",
    ("auto_k_steps", "auto"): "auto, steps as with 100 rows",
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("output", type=Path, help="directory that holds both runs")
    options.add_argument("--arm", default="airrep · herding", help="what chooses")
    args = options.parse_args()
    found = read(args.output)
    problems = complete(found)
    found = found.merge(problems, on=PROBLEM)
    sizes = found[found["budget"] == "auto"].groupby(PROBLEM)["rows"].first()
    print(
        f"{len(problems)} problems of {problems['source'].nunique()} sources; auto chose "
        f"{sizes.median():.0f} rows in the median, {sizes.min()} to {sizes.max()}\n"
    )
    arms = (args.arm, *CONTROLS)
    print(table(["loss", *arms], [losses(found, key, arms) for key in VARIANTS]), end="\n\n")
    print(table(["difference in loss", *arms[:2]], differences(found, *arms[:2])))


def read(output: Path) -> pd.DataFrame:
    """A line per trial and arm, with the run it is of."""
    rows = []
    for run in ("auto_k", "auto_k_steps"):
        for file in sorted((output / run / "trials").glob("*.json")):
            rows += [{**row, "run": run, "budget": str(row["budget"])} for row in read_trial(file)]
    return pd.DataFrame(rows).drop(columns="losses")


def complete(found: pd.DataFrame) -> pd.DataFrame:
    """The problems that were trained in every variant, of draws that all sources have."""
    variants = found[[*PROBLEM, "run", "budget"]].drop_duplicates().value_counts(PROBLEM)
    there = variants[variants == len(VARIANTS)].reset_index()[PROBLEM]
    sources = there.groupby("seed")["source"].nunique()
    return there[there["seed"].isin(sources[sources == sources.max()].index)]


def of(found: pd.DataFrame, key: tuple[str, str], arm: str) -> pd.DataFrame:
    """The trials of a variant and an arm."""
    return found[(found["run"] == key[0]) & (found["budget"] == key[1]) & (found["arm"] == arm)]


def losses(found: pd.DataFrame, key: tuple[str, str], arms: Sequence[str]) -> list[str]:
    """Mean loss of every arm in a variant."""
    return [VARIANTS[key], *(f"{of(found, key, arm)['loss'].mean():.3f}" for arm in arms)]


def differences(found: pd.DataFrame, chosen: str, random: str) -> list[list[str]]:
    """Each variant of auto minus 100 rows; and what chooses minus random rows, as many."""
    whole, *autos = VARIANTS
    lines = []
    for key in autos:
        cells = [paired(of(found, key, arm), of(found, whole, arm)) for arm in (chosen, random)]
        lines.append([f"{VARIANTS[key]} − {VARIANTS[whole]}", *cells])
    for key, name in VARIANTS.items():
        gap = paired(of(found, key, chosen), of(found, key, random))
        lines.append([f"{name}: {chosen} − {random}", gap, ""])
    return lines


def paired(one: pd.DataFrame, other: pd.DataFrame) -> str:
    """Mean difference of the same problems, and its interval."""
    gaps = one.set_index(PROBLEM)["loss"] - other.set_index(PROBLEM)["loss"]
    mean, low, high = interval(gaps.rename("gap").reset_index(), "gap")
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"


if __name__ == "__main__":
    main()
