"""Measures: the linear datamodeling score, losses, accuracy, precision, their statistics.

A measure takes models or numbers and trains nothing. Not here: runs that are measured
(`eval_harness.runs`), and comparisons of methods (`eval_harness.benchmark`).
"""
