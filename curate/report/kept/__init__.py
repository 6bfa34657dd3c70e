"""What is kept of a selection's scores for reports and explanations: in memory, on disk, checked.

Not here: anything that is shown.
"""
