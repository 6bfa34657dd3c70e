"""The summary of a selection, first in numbers and then in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from airrep.console.wording import counted, percent
from curate.report.composition import NO_SOURCE, composition
from curate.report.constraints import in_words, kept_constraints
from curate.report.coverage import TargetCoverage
from curate.report.kept.insight import Insight, Removed
from curate.report.objective import best_size
from curate.report.wording import cut, duration, number, points


@dataclass(frozen=True)
class Tile:
    """One number, what it counts, and what it means."""

    value: str
    name: str
    note: str
    alarming: bool = False


def tiles(insight: Insight, covered: Sequence[TargetCoverage]) -> list[Tile]:
    """The numbers at the top of a report."""
    statuses = Counter(each.status for each in covered)
    pool, chosen = len(insight.ids), len(insight.selection)
    picked = insight.selection.indices
    sources = {insight.sources[i] for i in picked.tolist()}
    scores = insight.overview.top_scores
    seconds = insight.manifest["seconds"]
    slowest = max(seconds, key=lambda stage: seconds[stage], default="")
    found = [
        Tile(f"{chosen:,}", "rows chosen", f"{percent(chosen / pool)} of {pool:,}"),
        Tile(
            f"{statuses['served']:,} of {_counted_targets(covered):,}",
            "targets served",
            _others(statuses["shares"], statuses["starved"]),
            statuses["starved"] > 0,
        ),
        Tile(
            number(float(np.median(scores[picked]))),
            "median score",
            f"{number(float(np.median(scores)))} in the pool",
        ),
    ]
    if insight.of_harm:
        gains = insight.selection.gains
        middle, lowest = number(float(np.median(gains))), number(float(gains[0]))
        found = [
            Tile(f"{chosen:,}", "rows that hurt", f"{percent(chosen / pool)} of {pool:,}"),
            Tile(middle, "median influence", f"{lowest} the lowest"),
        ]
    if len(set(insight.sources)) > 1:
        found.append(
            Tile(
                f"{len(sources):,} of {len(set(insight.sources)):,}",
                "sources",
                "of the pool are in",
            )
        )
    removed = [each for each in insight.removed if not each.warned]
    if proposed := insight.manifest["chosen"].get("proposed"):
        by = f"by {proposed['scorer']}, of {proposed['of']:,}"
        found.append(Tile(f"{proposed['rows']:,}", "rows proposed", by))
    if insight.removed:
        found.append(Tile(f"{len(removed):,}", "rows removed", _reasons(removed) or "see below"))
    total = sum(seconds.values())
    share = percent(seconds[slowest] / total) if total else ""
    found.append(Tile(duration(total), "of work", f"{share} for “{slowest}”" if share else ""))
    return found


def _others(sharing: int, starved: int) -> str:
    shares = [f"{sharing:,} {'shares' if sharing == 1 else 'share'}"] if sharing else []
    return ", ".join([*shares, f"{starved:,} starved" if starved else "none starved"])


def removals(insight: Insight) -> str:
    """What the guard did, in a sentence or two."""
    removed = [each for each in insight.removed if not each.warned]
    warned = [each for each in insight.removed if each.warned]
    if not insight.removed:
        return "No row was removed from the pool."
    parts = []
    if removed:
        parts.append(f"Taken out of the pool before anything was scored: {_reasons(removed)}.")
    if warned:
        parts.append(f"Found, and left in the pool as was asked for: {_reasons(warned)}.")
    return " ".join(parts)


def _reasons(removed: Sequence[Removed]) -> str:
    reasons = Counter(each.reason for each in removed)
    return ", ".join(counted(n, reason) for reason, n in sorted(reasons.items()))


def findings(insight: Insight, covered: Sequence[TargetCoverage]) -> list[str]:
    """What a reader should know before looking at any figure."""
    found = [*_of_targets(insight, covered), *_of_sources(insight), *_of_layers(insight)]
    if standings := kept_constraints(insight.manifest):
        found.append(in_words(standings))
    if stands := best_size(insight.selection):
        found.append(f"{stands[0].upper()}{stands[1:]}.")
    skipped = insight.manifest["inputs"].get("pool", {}).get("skipped", [])
    if skipped:
        was = "was" if len(skipped) == 1 else "were"
        found.append(f"{counted(len(skipped), 'pool row')} could not be read and {was} left out.")
    if insight.selection.shortlist is not None:
        found.append(
            f"The selector saw a shortlist of {counted(insight.selection.shortlist, 'row')}, the "
            "best of every target, rather than the whole pool."
        )
    return found


def _of_targets(insight: Insight, covered: Sequence[TargetCoverage]) -> list[str]:
    if insight.of_harm:
        return _of_harm(insight)
    starved = sum(each.status == "starved" for each in covered)
    sharing = sum(each.status == "shares" for each in covered)
    found = []
    if starved:
        found.append(
            f"{counted(starved, 'target')} of {_counted_targets(covered):,} "
            f"{'is' if starved == 1 else 'are'} starved: no row was chosen for "
            f"{'it' if starved == 1 else 'them'}, and none of the rows that would help most is in."
        )
    if sharing:
        found.append(
            f"{counted(sharing, 'target')} earned no row of {'its' if sharing == 1 else 'their'} "
            f"own, but {'shares' if sharing == 1 else 'share'} good rows with others."
        )
    served = [each for each in covered if each.status == "served"]
    thin = [each for each in served if 2 * each.best_in < each.best_of]
    if thin:
        found.append(
            f"For {counted(len(thin), 'more target' if found else 'target')}, fewer than half of "
            f"the {counted(thin[0].best_of, 'pool row')} that would help most are in."
        )
    if len(served) == _counted_targets(covered):
        least, most = (f(each.earned for each in served) for f in (min, max))
        rows = counted(most, "row") if least == most else f"from {least:,} to {most:,} rows"
        found.insert(0, f"Every target earned rows: {rows} each.")
    return found


def _of_harm(insight: Insight) -> list[str]:
    asked, found = insight.manifest["arguments"].get("k"), len(insight.selection)
    lines = [
        "The scores say that training on these rows raises the targets’ loss: their mean over the "
        "targets is below 0. Nothing was trained. Look at them, mend them or leave them out."
    ]
    if isinstance(asked, int) and found < asked:
        lines.append(
            f"They are fewer than k = {asked:,}, because no other row that was scored has a mean "
            "below 0."
        )
    return lines


def _of_sources(insight: Insight) -> list[str]:
    shares = composition(insight, shown=len(insight.sources))
    grown, shrunk = shares[0], shares[-1]
    found = []
    if grown.change > 0 > shrunk.change:
        found.append(
            f"{_name(grown.name)} grew most, from {percent(grown.pool_share)} of the pool to "
            f"{percent(grown.chosen_share)} of the selection; {_name(shrunk.name)} shrank most, "
            f"from {percent(shrunk.pool_share)} to {percent(shrunk.chosen_share)} "
            f"({points(shrunk.change)} points)."
        )
    wanted = {target.source for target in insight.targets} - {""}
    pool = sum(source in wanted for source in insight.sources)
    if wanted and pool and len(wanted) < len(set(insight.sources)):
        chosen = sum(insight.sources[i] in wanted for i in insight.selection.indices.tolist())
        names = _name(next(iter(wanted))) if len(wanted) == 1 else f"{len(wanted):,} sources"
        found.append(
            f"The targets come from {names}: {chosen:,} of the {counted(pool, 'pool row')} from "
            f"there {'was' if chosen == 1 else 'were'} chosen ({percent(chosen / pool)}; of the "
            f"whole pool {percent(len(insight.selection) / len(insight.sources))})."
        )
    return found


def _of_layers(insight: Insight) -> list[str]:
    if insight.selection.objective is None:
        return []
    totals = np.bincount(insight.selection.layers, insight.selection.gains)
    if len(totals) < 3 or totals[0] <= 0:
        return []
    return [
        f"The selection has {len(totals):,} layers, each a group that serves all targets. The "
        f"first reaches an influence of {number(float(totals[0]))}, the last whole one "
        f"{number(float(totals[-2]))} ({percent(float(totals[-2] / totals[0]))} of that): how much "
        "later rows still help."
    ]


def _counted_targets(covered: Sequence[TargetCoverage]) -> int:
    return sum(each.status != "not counted" for each in covered)


def _name(source: str) -> str:
    return source if source == NO_SOURCE else f"“{cut(source, 60)}”"
