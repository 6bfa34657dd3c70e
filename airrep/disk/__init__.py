"""Files that survive kills, full disks and power cuts; nothing here knows what is in them.

Here belong atomic writing, temporary names, checksums, locks, paths as users write them, and parts
of long computations that a later run takes up. Not here: the formats of stores and checkpoints.
"""
