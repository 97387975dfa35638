"""Checkpoints: the format of their files, reading and writing, and where they are found.

The shipped checkpoints are in this folder, each with its model card and its recipe. Imports
`signals`, `nn` and `_utils`.
"""
