"""From files of recordings, and from arrays, to a corpus.

Imports the rest of `signals`, and `_utils`.
"""
