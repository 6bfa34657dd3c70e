"""The LDS part's results, as rows, files and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from airrep.disk.atomic import write_json
from airrep.supervision import SubsetLosses
from eval_harness.benchmark.attribution import (
    Attribution,
    ceiling_row,
    differences,
    evaluate_methods,
)
from eval_harness.benchmark.methods import Method, ScoreFiles
from eval_harness.benchmark.plots import plot_attribution
from eval_harness.benchmark.tables import attribution_markdown, cheap_markdown, differences_markdown
from eval_harness.files.outputs import can_draw, write_table


@dataclass(frozen=True)
class AttributionReport:
    """What the part found.

    Attributes:
        rows: A row per method: LDS with interval, cost.
        against: The method that the others are compared with.
        differences: A row per other method: its LDS minus that method's, with interval.
        ceiling: Columns of the noise ceiling; None with a single repeat.
        cheap: Rows of `cheap_truth`.
        markdown: The tables.
    """

    rows: list[dict[str, Any]]
    against: str
    differences: list[dict[str, Any]]
    ceiling: dict[str, float] | None
    cheap: Sequence[dict[str, Any]]
    markdown: str = field(repr=False)

    def write(self, directory: Path) -> None:
        """Write attribution.parquet, attribution.json and, where it can be drawn, a picture.

        Raises:
            OutputError: The directory cannot be written to.
        """
        write_table(pd.DataFrame(self.rows), directory / "attribution.parquet")
        write_json(
            directory / "attribution.json",
            {
                "ceiling": self.ceiling,
                "cheap": list(self.cheap),
                "differences": {"against": self.against, "rows": self.differences},
            },
        )
        if can_draw():
            plot_attribution(self.rows, self.ceiling, directory / "attribution.png")


def report_attribution(
    part: Attribution,
    measured: SubsetLosses,
    methods: Sequence[Method],
    files: ScoreFiles,
    *,
    against: str | None = None,
    cheap: Sequence[dict[str, Any]] = (),
) -> AttributionReport:
    """Evaluate methods.

    Args:
        part: Plan and examples.
        measured: Its runs.
        methods: What is compared.
        files: Where scores are kept.
        against: The method that the others are compared with; default the one that does best on
            validation.
        cheap: Rows of `cheap_truth`.
    """
    rows, predicted = evaluate_methods(part, measured, methods, files)
    against = against or max(rows, key=lambda row: row["validation"])["method"]
    gaps = [
        {"method": name, "difference": d.mean, "difference_low": d.low, "difference_high": d.high}
        for name, d in differences(predicted, part.losses(measured, "test"), against).items()
    ]
    ceiling = ceiling_row(part, measured)
    texts = [attribution_markdown(rows, ceiling)]
    if gaps:
        texts.append(differences_markdown(gaps, against))
    if cheap:
        texts.append(cheap_markdown(cheap))
    return AttributionReport(rows, against, gaps, ceiling, cheap, "\n\n".join(texts))
