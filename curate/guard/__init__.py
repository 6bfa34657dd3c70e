"""The guard around a selection: nothing that is tested on is trained on, and nothing twice.

Two texts are compared by the word triples that they share. What many texts share is a template and
counts for nothing (`overlap`); what is left has to be found again, word by word (`likeness`).
"""

from curate.guard.findings import Findings, check_settings, examine
from curate.guard.report import Cluster, Duplicates, GuardReport, Leakage, Removal

__all__ = [
    "Cluster",
    "Duplicates",
    "Findings",
    "GuardReport",
    "Leakage",
    "Removal",
    "check_settings",
    "examine",
]
