"""The report: one HTML file that loads nothing and runs no script but its own."""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from airrep.console.wording import counted, percent, shortened
from airrep.disk.atomic import atomic_file
from airrep.disk.paths import not_ours, user_path
from airrep.version import __version__
from curate.manifest.provenance import identity
from curate.report import figures, headline, listing, wording
from curate.report.composition import NO_SOURCE, composition
from curate.report.constraints import in_words, kept_constraints
from curate.report.coverage import coverage
from curate.report.kept.insight import Insight
from curate.report.places import without_places
from curate.report.seal import read_seal, sealed

_MOST_OPTIONS = 300  # of a filter's list
_MANIFEST_BYTES = 200_000


def write_report(insight: Insight, path: str | Path) -> Path:
    """Write the report; the file appears whole or not at all.

    Args:
        insight: What is known of a selection.
        path: Path of the HTML file.

    Returns:
        The path.

    Raises:
        OutputError: It cannot be written to, or is there and no report, or one that was edited.
    """
    path = user_path(path, "output")
    if os.path.lexists(path):
        seal = read_seal(path) if path.is_file() else None
        if seal is None or not seal.intact:
            raise not_ours(path)
    page = sealed(render(insight), identity(insight.manifest))
    with atomic_file(path) as temporary:
        temporary.write_text(page, "utf-8", newline="\n")
    return path


def render(insight: Insight) -> str:
    """The page, below 5 MB whatever the size of the selection and its texts."""
    covered = coverage(insight)
    rows, targets = listing.listed_rows(insight), listing.listed_targets(insight)
    seconds: Mapping[str, float] = insight.manifest["seconds"]
    style, script = _part("report.css"), _part("report.js")
    sources = Counter(row.source for row in rows)
    kept = kept_constraints(insight.manifest)
    manifest = without_places(insight.manifest)
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            version=__version__,
            policy=_policy(style, script),
            style=style,
            script=script,
            insight=insight,
            manifest=manifest,
            manifest_text=_manifest_text(manifest),
            weighted=insight.manifest["arguments"].get("weights") is not None,
            tiles=headline.tiles(insight, covered),
            findings=headline.findings(insight, covered),
            composition=composition(insight),
            constraints=kept[: listing.CONSTRAINTS],
            all_constraints=len(kept),
            constraints_in_words=in_words(kept),
            has_sources=set(insight.sources) not in ({""}, {NO_SOURCE}),
            histogram=figures.score_histogram(insight),
            gains=figures.gain_figure(insight),
            objective=figures.objective_figure(insight),
            strip=_strip(targets),
            targets=targets,
            statuses=Counter(each.status for each in covered),
            rows=rows,
            harm=insight.of_harm,
            verb=insight.manifest.get("verb", "select"),
            layered=int(insight.selection.layers.max()) > 0,
            source_filter=[name for name, _ in sources.most_common(_MOST_OPTIONS)],
            target_filter=sorted({(r.target, r.target_id, r.target_label) for r in rows})[
                :_MOST_OPTIONS
            ],
            removals=listing.listed_removals(insight.removed),
            removal_summary=headline.removals(insight),
            seconds=seconds,
            total_seconds=sum(seconds.values()),
            score_places=wording.decimals([float(np.median(np.abs(insight.selection.scores)))]),
            wording=wording,
            counted=counted,
            percent=percent,
            shortened=shortened,
        )
    )


def _strip(targets: list[listing.ListedTarget]) -> Mapping[str, float]:
    """The one scale on which the targets' scores are drawn."""
    lows = [target.coverage.quantiles[0] for target in targets]
    highs = [target.coverage.best_pool for target in targets]
    low, high = min(0.0, *lows, *(target.coverage.best_chosen for target in targets)), max(highs)
    return {"low": low, "span": (high - low) or 1.0}


def _manifest_text(manifest: Mapping[str, Any]) -> str:
    return wording.cut(json.dumps(manifest, indent=2, ensure_ascii=False), _MANIFEST_BYTES)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("curate.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _part(name: str) -> str:
    return (files("curate.report") / "templates" / name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """A content security policy that allows these two parts and nothing else."""

    def hashed(part: str) -> str:
        digest = sha256(part.encode("utf-8")).digest()
        return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"

    return (
        f"default-src 'none'; style-src {hashed(style)}; script-src {hashed(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
