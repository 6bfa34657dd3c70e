"""YAML that a user hands to a verb, read safely.

Not here: the settings of a benchmark or a training, which stand beside what they configure.
"""
