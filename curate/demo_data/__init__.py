"""A made-up pool of instruction rows with known tasks, for demonstrations and tests."""

from __future__ import annotations

from curate.demo_data.generate import TASKS, demo_pool, demo_targets

__all__ = ["TASKS", "demo_pool", "demo_targets"]
