"""Readers of a user's rows: files, globs, data sets, data frames, lists.

Not here: what a row means (`airrep.records`), and which inputs a verb takes
(`curate.stages.inputs`).
"""
