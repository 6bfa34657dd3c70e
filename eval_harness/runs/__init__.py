"""Fine-tuning runs that are recorded: which subsets, whose evaluation rows, who does which.

Not here: how one model is trained (`eval_harness.runners`), and what is measured of it
(`eval_harness.measures`).
"""
