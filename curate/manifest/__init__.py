"""What a run leaves to be repeated and compared: arguments, inputs, results, checked.

Not here: where files go (`curate.stages.destination`), and checks of directories (`verification`).
"""
