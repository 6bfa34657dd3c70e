"""The machine and the interpreter: processes, precision of the hardware, seeds, imports.

Not here: anything that knows texts, models or scores.
"""
