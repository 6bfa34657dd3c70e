"""The machine and the interpreter: processes, number types, devices, memory, seeds, imports.

Not here: anything that knows texts, tokens or scores.
"""
