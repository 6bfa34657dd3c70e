"""Manifests: arguments, inputs and results of a run, checked, to be repeated and compared.

Not here: where files go (`curate.stages.destination`), and checks of directories (`verification`).
"""
