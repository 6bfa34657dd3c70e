"""Causal language models: loading them, tokens of examples, passes of fixed shapes, losses.

Here belongs what needs no AirRep network; gradients have a folder of their own. Sentence encoders
use the same passes (`batching`), and the same checks of a checkpoint's files.
"""
