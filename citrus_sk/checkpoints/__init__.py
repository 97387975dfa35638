"""Weights files: their layout, how they are read and written, and where they are found.

The shipped weights are beside the code, each with its card and its recipe. Imports `signals`, `nn`
and `_utils`.
"""
