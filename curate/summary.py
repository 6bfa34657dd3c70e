"""A selection in words, for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import numpy as np

from airrep.console.wording import counted, named, noun_for, shortened
from curate.guard import GuardReport
from curate.manifest.provenance import Manifest
from curate.report.kept.insight import Insight, RowText
from curate.report.objective import best_size
from curate.report.wording import table
from eval_harness.files.markdown import code_block
from selection.overview import ScoreOverview
from selection.result import Selection
from selection.scorers.embedding import MANY_UNKNOWN, OTHERS
from selection.scorers.flat_scores import all_alike
from selection.selectors.lowest_mean import LOWEST_MEAN

_MOST_LINES = 12
_WIDTH = 60  # of a source's name and of a target's text
_SHOWN_UNKNOWN = 0.0005  # what is less rounds to 0.0%


def summarize(insight: Insight, guard: GuardReport, manifest: Manifest) -> str:
    """What was read, removed and chosen, from which sources, for which targets, in what time."""
    selection = insight.selection
    sections = [
        _read(manifest),
        _guarded(guard),
        _encoded(manifest),
        _scored(manifest),
        _proposed(manifest),
        _chosen(selection, manifest),
        _sources(selection, insight.sources),
        _targets(selection, insight.targets),
        _flat(insight.overview, insight.targets),
        _constraints(manifest),
        _time(manifest),
    ]
    return "\n".join(line for section in sections for line in section)


def dataset_card(name: str, summary: str, manifest: Manifest) -> str:
    """The text of a data set's card on the hub, in Markdown.

    Args:
        name: Name of the data set.
        summary: What `summarize` returns.
        manifest: Manifest of the selection; what it names is quoted, so that it stays text.
    """
    said = {n: named(v) if isinstance(v, str) else v for n, v in manifest.arguments.items()}
    arguments = json.dumps(said, indent=2, ensure_ascii=False, default=str)
    return (
        f"# {name.rsplit('/', 1)[-1]}\n\n"
        "Training examples chosen with airrep-curate for what a model should be good at.\n\n"
        f"{code_block(summary)}\n\nThe arguments of `curate.select` were\n\n"
        f"{code_block(arguments, 'json')}\n"
    )


def _read(manifest: Manifest) -> list[str]:
    lines = []
    for role, record in manifest.inputs.items():
        skipped = (
            f", {counted(len(record.skipped), 'unreadable row')} skipped" if record.skipped else ""
        )
        lines.append(f"read    {role:<8}{_rows(record.rows)} from {record.name}{skipped}")
    return lines


def _guarded(guard: GuardReport) -> list[str]:
    if guard.leakage == "off" and guard.duplicates == "off":
        return []
    found = []
    for reason, setting, name in (
        ("leak", guard.leakage, "leak"),
        ("duplicate", guard.duplicates, "near-duplicate"),
    ):
        if setting != "off":
            count = sum(each.reason == reason for each in (*guard.removed, *guard.warned))
            kept = " (kept)" if count and setting == "warn" else ""
            found.append(f"{counted(count, name)}{kept}")
    return [f"removed {'pool':<8}{_rows(len(guard.removed))}; found {', '.join(found)}"]


def _encoded(manifest: Manifest) -> list[str]:
    lines = []
    for encoder in manifest.encoders:
        if "instead" in encoder:
            shares = ", ".join(f"{name} {share:.1%}" for name, share in encoder["unknown"].items())
            lines += [
                f"scored  by {encoder['instead']}, because {encoder['name']} cannot read the texts",
                f"        unknown tokens: {shares}. Better: {OTHERS}.",
            ]
            continue
        lines.append(
            f"encoded {'pool':<8}{_rows(encoder['encoded'])} with {encoder['name']} "
            f"({encoder['dtype']}), {encoder['reused']:,} found in the store or repeated"
        )
        if clusters := encoder.get("clusters"):
            sizes = ", ".join(f"{size:,}" for _, size in Counter(clusters).most_common())
            lines.append(f"        clusters of {sizes} targets, one score each")
        if "features" in encoder:
            (kept,) = (f"{key} {encoder[key]:,}" for key in ("rank", "width") if key in encoder)
            lines.append(f"        gradients in {encoder['features']:,} features a row ({kept})")
        unknown: dict[str, float] = encoder.get("unknown") or {}
        most = max(unknown.values(), default=0.0)
        if most >= _SHOWN_UNKNOWN:
            shares = ", ".join(f"{name} {share:.1%}" for name, share in unknown.items())
            lines.append(f"        unknown tokens: {shares}")
        if most > MANY_UNKNOWN:
            lines.append(f"        The encoder reads such texts badly. Better: {OTHERS}.")
    return lines


def _scored(manifest: Manifest) -> list[str]:
    """What of each row was scored, where that is not simply prompt and completion."""
    scored = manifest.chosen.get("scored")
    return [f"scored  {scored}"] if scored else []


def _proposed(manifest: Manifest) -> list[str]:
    """How many rows a second scorer looked at, and whether more might have been chosen."""
    proposed = manifest.chosen.get("proposed")
    if proposed is None:
        return []
    return [
        f"scored  {_rows(proposed['rows'], 18)} again, which {proposed['scorer']} proposed of "
        f"{proposed['of']:,}",
        f"        {proposed['late']:,} of {counted(manifest.chosen['rows'], 'chosen row')} "
        f"{'is' if proposed['late'] == 1 else 'are'} of the last tenth that it proposed",
    ]


def _chosen(selection: Selection, manifest: Manifest) -> list[str]:
    layers = int(selection.layers[-1]) + 1
    how = f"{selection.method} on {manifest.chosen['scorer']} scores"
    details = [f"{layers} layers"] if layers > 1 else []
    if selection.shortlist is not None:
        details.append(f"from a shortlist of {counted(selection.shortlist, 'candidate')}")
    if selection.method == LOWEST_MEAN:
        asked = manifest.arguments.get("k")
        fewer = isinstance(asked, int) and len(selection) < asked
        details = [f"fewer than k = {asked:,}: no other row has a mean below 0"] * fewer
        how = f"that hurt, by {how}"
        return [f"found   {_rows(len(selection), 18)} {how}" + "".join(f", {d}" for d in details)]
    if default := manifest.chosen.get("fewer_than"):
        details.append(f"all that can be chosen: k was not given, and would be {default:,}")
    lines = [f"chose   {_rows(len(selection), 18)} by {how}" + "".join(f", {d}" for d in details)]
    if selection.certificate is not None:
        lines.append(f"        {selection.certificate}")
    if stands := best_size(selection):
        lines.append(f"        {stands}")
    return lines


def _sources(selection: Selection, sources: Sequence[str]) -> list[str]:
    named = [source or "(no source)" for source in sources]
    available, chosen = Counter(named), Counter(named[i] for i in selection.indices.tolist())
    ranked = sorted(available, key=lambda source: (-chosen[source], source))
    rows = [
        (
            shortened(source, _WIDTH),
            f"{available[source]:,}",
            f"{chosen[source]:,}",
            f"{chosen[source] / len(selection):.1%}",
        )
        for source in ranked[:_MOST_LINES]
    ]
    lines = ["", *table(("source", "pool", "chosen", "share"), rows)]
    if len(ranked) > _MOST_LINES:
        rest = sum(chosen[source] for source in ranked[_MOST_LINES:])
        lines.append(_rest(len(ranked) - _MOST_LINES, "source", rest))
    return lines


def _targets(selection: Selection, targets: Sequence[RowText]) -> list[str]:
    earned = Counter(selection.targets.tolist())
    ranked = sorted(range(len(targets)), key=lambda x: (-earned[x], x))
    shown = ranked[:_MOST_LINES]
    harm = selection.method == LOWEST_MEAN
    counts = table(
        ("hurt most" if harm else "target", "rows"),
        [(shortened(targets[x].id, 12), f"{earned[x]:,}") for x in shown],
    )
    texts = [
        "text",
        *(shortened(targets[x].prompt or targets[x].completion, _WIDTH) for x in shown),
    ]
    lines = ["", *(f"{count}  {text}" for count, text in zip(counts, texts, strict=True))]
    if len(ranked) > _MOST_LINES:
        rest = sum(earned[x] for x in ranked[_MOST_LINES:])
        lines.append(_rest(len(ranked) - _MOST_LINES, "target", rest))
    starved = sum(earned[x] == 0 for x in ranked)
    if starved and not harm:
        lines.append(f"{starved:,} of {counted(len(targets), 'target')} earned no row")
    return lines


def _flat(overview: ScoreOverview, targets: Sequence[RowText]) -> list[str]:
    """Targets whose scores tell no row from another."""
    found = []
    for x, target in enumerate(targets):
        ends = (overview.best_left.scores[x], overview.worst_left.scores[x])
        scores = np.concatenate([overview.chosen[:, x], *ends])
        if len(overview.top_scores) > 1 and all_alike(scores.min(), scores.max()):
            found.append(shortened(target.id, 12))
    if not found:
        return []
    more = f" and {len(found) - _MOST_LINES:,} more" if len(found) > _MOST_LINES else ""
    return [
        f"every row has the same score for {len(found):,} of {counted(len(targets), 'target')}: "
        f"{', '.join(found[:_MOST_LINES])}{more}"
    ]


def _rows(number: int, width: int = 10) -> str:
    """So many rows, the number to the right of a column."""
    return f"{number:>{width},} {noun_for(number, 'row')}"


def _rest(number: int, noun: str, chosen: int) -> str:
    return f"… and {counted(number, f'more {noun}')} with {counted(chosen, 'chosen row')}"


def _constraints(manifest: Manifest) -> list[str]:
    stands = sorted(
        manifest.chosen["constraints"], key=lambda each: (each.met, not each.binds)
    )  # those that are not met first, then those at a bound
    lines = [f"{'kept to' if each.met else 'broke  '} {each}" for each in stands[:_MOST_LINES]]
    if rest := stands[_MOST_LINES:]:
        kept = "all of them kept" if all(each.met for each in rest) else "not all of them kept"
        lines.append(f"… and {counted(len(rest), 'more constraint')}, {kept}")
    return ["", *lines] if lines else []


def _time(manifest: Manifest) -> list[str]:
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in manifest.seconds.items())
    return ["", f"time    {stages}"]
