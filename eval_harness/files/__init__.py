"""Files that every measurement writes: tables, Markdown, arrays, settings read back.

Not here: what is in them.
"""
