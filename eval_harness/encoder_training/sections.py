"""Sections of Markdown about a training, for its results and its model card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from airrep.console.wording import counted
from airrep.disk.paths import user_path
from airrep.supervision import SubsetLosses, SubsetPlan
from eval_harness.benchmark.attribution import AttributionReport
from eval_harness.encoder_training.config import EncoderTrainingConfig
from eval_harness.encoder_training.learning import Learned
from eval_harness.encoder_training.rows import TrainingRows, used_subsets
from eval_harness.files.markdown import escaped, table

_MOST_SOURCES = 20


@dataclass(frozen=True, eq=False)
class Facts:
    """All that is said about a training."""

    config: EncoderTrainingConfig
    rows: TrainingRows
    losses: Sequence[SubsetLosses]  # of each split
    measured: SubsetLosses  # of the evaluation
    learned: Learned
    as_saved: float  # LDS on validation of the checkpoint, at its own scale
    report: AttributionReport  # the evaluation's test part
    note: str  # why models were not trained in stacks, if they could not be


def shown(name: str) -> str:
    """A file's or directory's name without its place; a hub id as it is."""
    path = user_path(name, "path")
    local = path.is_absolute() or path.exists() or any(sign in name for sign in "*?[")
    return path.resolve().name if local else name


def results_markdown(facts: Facts) -> str:
    """What is printed, and written as results.md."""
    return (
        f"## Runs\n\n{runs_section(facts)}\n\n## Training\n\n{training_section(facts)}\n\n"
        f"## Test\n\n{test_section(facts)}\n\n## Cost\n\n{cost_section(facts)}\n"
    )


def runs_section(facts: Facts) -> str:
    """The runs of every part."""
    lines = [
        [f"split {number}", *_runs(losses, facts.config.use)]
        for number, losses in enumerate(facts.losses)
    ]
    lines.append(["evaluation", *_runs(facts.measured, None)])
    head = ["", "pool rows", "examples", "subsets", "kinds", "rows each", "runs", "s per run"]
    note = f"\n\nTrained one by one, not in stacks: {escaped(facts.note)}" if facts.note else ""
    return table(head, lines) + note


def _runs(losses: SubsetLosses, use: Sequence[str] | None) -> list[str]:
    plan = losses.plan
    return [
        *(f"{len(each):,}" for each in (plan.pool, plan.evaluation, plan.subsets)),
        _kinds(plan, use),
        subset_rows([losses]),
        f"{len(plan.runs):,}",
        f"{seconds:.2f}" if (seconds := losses.seconds.mean()) else "not known",
    ]


def _kinds(plan: SubsetPlan, use: Sequence[str] | None) -> str:
    used = {plan.kinds[i] for i in used_subsets(plan, use)}
    counts = Counter(plan.kinds)
    return ", ".join(
        f"{escaped(kind)} {count:,}" + ("" if kind in used else " (not used)")
        for kind, count in counts.items()
    )


def subset_rows(recorded: Sequence[SubsetLosses]) -> str:
    """How many rows a subset has."""
    found = sorted({len(subset) for losses in recorded for subset in losses.plan.subsets})
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def training_section(facts: Facts) -> str:
    """LDS on validation over steps, and of what was saved."""
    learned = facts.learned
    lines = [
        [each["step"], "" if each["loss"] is None else f"{each['loss']:.4f}", f"{each['lds']:.3f}"]
        for each in learned.history
    ]
    nothing = "" if learned.best else ": the encoder is what training started from"
    return (
        table(["step", "loss", "LDS on validation"], lines)
        + f"\n\nStep {learned.best} did best{nothing}. Saved in {learned.precision} and loaded "
        f"again, the encoder has an LDS of {facts.as_saved:.3f} on validation."
    )


def test_section(facts: Facts) -> str:
    """LDS on the test part, with the noise ceiling, the comparison, and what it says."""
    unknown = (
        "What a perfect predictor would reach is not known: every subset was run once "
        "(evaluation.attribution.repeats).\n\n"
    )
    ceiling = unknown if facts.report.ceiling is None else ""
    return f"{facts.report.markdown}\n\n{ceiling}{_verdict(facts.report)}"


def _verdict(report: AttributionReport) -> str:
    sides: dict[str, list[str]] = {"better than": [], "worse than": [], "not told apart from": []}
    for row in report.differences:  # other method minus the trained encoder
        better, worse = row["difference_high"] < 0, row["difference_low"] > 0
        side = "better than" if better else "worse than" if worse else "not told apart from"
        sides[side].append(escaped(row["method"]))
    parts = "; ".join(f"{side} {', '.join(names)}" for side, names in sides.items() if names)
    return f"By these 95% intervals the trained encoder is {parts}."


def data_section(facts: Facts) -> str:
    """Files, rows and sources."""
    config, rows = facts.config, facts.rows
    held = config.evaluation
    parts = (
        ("subsets to learn from", config.pool, None, rows.pool),
        ("examples to learn from", config.targets or config.pool, None, rows.targets),
        ("subsets of the evaluation", held.pool, config.pool, rows.held_out),
        ("validation examples", held.targets, config.targets or config.pool, rows.validation),
        ("test examples", held.test, config.targets or config.pool, rows.test),
    )
    lines = []
    for what, file, origin, examples in parts:
        name = escaped(shown(file or origin or ""))
        place = f"held out of {name}" if file is None else name
        lines.append([what, place, f"{len(examples):,}", f"{len({e.source for e in examples}):,}"])
    counts = [Counter(e.source for e in part) for part in (rows.pool, rows.targets, rows.test)]
    sources = sorted({*counts[0], *counts[1], *counts[2]}, key=lambda s: (-counts[0][s], s))
    by_source = [
        [escaped(source) or "(no source)", *(f"{count[source]:,}" for count in counts)]
        for source in sources[:_MOST_SOURCES]
    ]
    rest = len(sources) - len(by_source)
    more = f"\n\n… and {counted(rest, 'more source')}." if rest > 0 else ""
    drawn = {role: len(places) for role, places in facts.measured.plan.roles.items()}
    return (
        f"{table(['what for', 'file', 'rows', 'sources'], lines)}\n\n"
        f"Drawn from the last two: {counted(drawn['validation'], 'validation example')} and "
        f"{counted(drawn['test'], 'test example')}. {_apart(facts)}\n\n"
        + table(["source", "learned from: pool", "examples", "test"], by_source)
        + more
    )


def _apart(facts: Facts) -> str:
    """How far what is learned from and what is tested on are kept apart."""
    rows = facts.rows
    if facts.config.recorded is None:
        return "No row is, word for word, in two of these parts."
    seen = {example.row for example in rows.pool}
    tests, subsets = ([e.row in seen for e in part] for part in (rows.test, rows.held_out))
    return (
        "No loss of a validation or test example was learned from, but the recorded runs are all "
        f"of one file: {sum(tests):,} of the {counted(len(tests), 'test example')} and "
        f"{sum(subsets):,} of the {counted(len(subsets), 'row')} of the evaluation's subsets are "
        "rows of subsets that were learned from."
    )


def cost_section(facts: Facts) -> str:
    """Seconds and bytes."""
    learned = facts.learned
    (trained,) = [row for row in facts.report.rows if row["method"] == facts.report.against]
    runs = [sum(float(losses.seconds.sum()) for losses in facts.losses)]
    runs.append(float(facts.measured.seconds.sum()))
    spent = [f"{each:,.0f} s" if each else "not known: recorded elsewhere" for each in runs]
    teacher = learned.teacher_seconds
    known = learned.seconds is not None
    seconds = f"{learned.seconds:,.0f} s" if known else "not known: it was interrupted"
    lines = [
        ["runs to learn from, all processes together", spent[0]],
        ["runs of the evaluation", spent[1]],
        *([["gradients of the teacher", f"{teacher:,.0f} s"]] if teacher is not None else []),
        ["training of the encoder", seconds],
        ["encoding a row", f"{1000 * trained['seconds_per_row']:.2f} ms"],
        ["a row's embedding, float32", f"{trained['bytes_per_row']:,} bytes"],
    ]
    return (
        table(["", "cost"], lines)
        + "\n\nSeconds are wall-clock on the machine that did it, whatever else it was doing."
    )
