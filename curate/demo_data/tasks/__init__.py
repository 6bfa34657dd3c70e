"""The tasks of the demonstration's pool, by kind. Not here: the words and names that they use."""
