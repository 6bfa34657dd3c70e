"""Rows on their way out: what TRL and other trainers read, and files that hold rows as they are.

Not here: reading rows (`curate.rows`), and which directory a selection is saved to
(`curate.stages.destination`).
"""
