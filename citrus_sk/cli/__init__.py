"""The command line, ``citrus-sk``.

It may import any other room, and only ``python -m citrus_sk`` imports it.
"""

from .parser import main

__all__ = ["main"]
