"""The command line, ``citrus-sk``.

Imports whatever it needs; only ``python -m citrus_sk`` imports it.
"""

from .parser import main

__all__ = ["main"]
