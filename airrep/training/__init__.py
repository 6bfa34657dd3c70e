"""Training of an encoder: from recorded losses, from a teacher, from gradients.

Here belong the training loop, its objective and state, and all that a projector can start from. Not
here: which models are fine-tuned to record losses (`eval_harness`), and reports about a training.
"""
