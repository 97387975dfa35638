"""From labelled windows to a trained network.

Imports `checkpoints`, `signals`, `nn` and `_utils`.
"""
