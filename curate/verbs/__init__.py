"""One module for each thing that a user can ask for, in Python and on the command line.

A verb checks its arguments and puts stages together. `demo` and `verify` live with what they show.
Not here: options of the command line (`curate.cli`).
"""
