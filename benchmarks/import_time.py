"""What importing all of citrus_sk costs beside what it stands on.

    python benchmarks/import_time.py

Starts fresh interpreters by turns and prints the median seconds of each and their ratio.
"""

import argparse
import subprocess
import sys
from statistics import median

STATEMENTS = {
    "torch, sklearn, skorch": "import torch, sklearn, skorch",
    "citrus_sk, all of it": "from citrus_sk import *",
}


def seconds(statement: str) -> float:
    code = (
        f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=11)
    repeats = parser.parse_args().repeats
    for statement in STATEMENTS.values():
        seconds(statement)  # fills the disk cache
    times = {name: [] for name in STATEMENTS}
    for _ in range(repeats):
        for name, statement in STATEMENTS.items():
            times[name].append(seconds(statement))
    base, ours = (median(values) for values in times.values())
    for name, values in times.items():
        print(f"{name:<24} {median(values):.2f} s  (lowest {min(values):.2f} s)")
    print(f"ratio                    {ours / base:.2f}")


if __name__ == "__main__":
    main()
