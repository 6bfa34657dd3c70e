"""Reports for people: one HTML file about a selection, and explanations as text.

    TrainingSet.save ── insight_file ──► DIR/insight/ ──► Insight ──► page: report.html
    TrainingSet.report, .explain ───────── gather ───────────┘  └───► explain: why a row is in

`Insight` is all that either needs: no pool, no encoder, no scores beyond a few per target.
"""

from curate.report.explain import explain
from curate.report.explanation import Explanation, RowExplanation, TargetExplanation
from curate.report.kept.file import read_insight, write_insight
from curate.report.kept.insight import Insight, gather, guarded
from curate.report.token_explanation import TokenExplanation, TokenShare

__all__ = [
    "Explanation",
    "Insight",
    "RowExplanation",
    "TargetExplanation",
    "TokenExplanation",
    "TokenShare",
    "explain",
    "gather",
    "guarded",
    "read_insight",
    "write_insight",
]
