"""Data that reports and explanations need of a selection: in memory, on disk, checked.

Not here: anything that is shown.
"""
