"""Runners: rows to fine-tuned models, by one recipe. Not here: which rows (`eval_harness.runs`)."""
