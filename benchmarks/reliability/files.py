"""Attacks on files: recordings and tables, checkpoints, and what the package stores for itself.

Each attempt is made in a child process with limits of memory and time. The same seed makes the
same attempts:

    python benchmarks/reliability/files.py edf fif npz npy wfdb tables --seconds 600
    python benchmarks/reliability/files.py flips --number 2000 --seconds 3600
    python benchmarks/reliability/files.py cuts --number 500 --seconds 3600
    python benchmarks/reliability/files.py edf --only 17    # one attempt, with its traceback
"""

from __future__ import annotations

import attempts
import caches
import readers
import weights
import window_files

ATTACKS: attempts.Attacks = {
    **readers.ATTACKS, **window_files.ATTACKS, **weights.ATTACKS, **caches.ATTACKS,
}  # fmt: skip

if __name__ == "__main__":
    attempts.main(__file__, ATTACKS)
