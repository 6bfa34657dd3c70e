"""Gradients of a language model's loss, one example at a time, made small enough to keep.

Here belong features of examples, recorders of layers, projections, sketches and Adam's moments. Not
here: encoders made of gradients (`airrep.network.gradient_pooling`) and how they are fitted
(`airrep.training`).
"""
