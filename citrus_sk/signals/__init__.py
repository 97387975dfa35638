"""Everything that comes in as X, y or groups: windows, containers, labels, alignment.

Imports `_utils` alone, and no torch.
"""
