"""The AirRep network: backbone, token pooling, projector, and its checkpoints.

Not here: how it is trained (`airrep.training`), and the class that users meet (`airrep.encoder`).
"""
