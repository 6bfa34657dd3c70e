"""The steps that verbs share: inputs, guard, scorer, engine, choosing, destination.

A stage knows nothing of the command line and of other verbs. Not here: what scores and selects
(`selection`).
"""
