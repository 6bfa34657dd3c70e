"""Output for a terminal: wording of numbers and names, and progress bars.

Not here: errors (`airrep.errors`), and texts about one subject, which stand beside it.
"""
