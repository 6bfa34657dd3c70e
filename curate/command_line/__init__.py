"""The command line: options of the verbs, their values, and what is shown of a result.

Not here: the entry point and exit statuses (`curate.cli`), and what a verb does (`curate.verbs`).
"""
