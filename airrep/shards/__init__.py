"""The files of an embedding store: shards, their manifest and checksums, one array file to read.

Not here: which texts a store holds and who encodes them (`airrep.store`).
"""
