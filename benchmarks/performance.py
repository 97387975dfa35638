"""Time and memory of fit and predict, by size of the windows, weights and strategy.

    python benchmarks/performance.py            measure, about 10 minutes, and write the results
    python benchmarks/performance.py --quick    a minute; prints the tables and writes nothing
    python benchmarks/performance.py --profile  print where fit and predict spend their time

Each measurement runs in a fresh process, on one thread unless ``--threads`` says otherwise, after a
small fit that loads what is compiled. The windows are real ones (`citrus_sk.datasets.load_watch`),
cut or repeated to the wanted shape. All models are measured by turns; a ratio is the median of the
ratios to MiniRocket in the same turn. `tables.py` puts the tables into the documentation.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results" / "performance.json"
N_TEST, N_SINGLE, N_WARM = 100, 50, 50  # windows to predict, one at a time, and to warm up with
PEER = "minirocket"
ALONE = {"random_kernels": False, "strategy": "linear-probe"}
SETTINGS: dict[str, dict[str, Any]] = {  # of CitrusClassifier
    "default": {},
    "eeg-freq": {"pretrained": "eeg-freq"},
    "network alone": ALONE,
    "network alone, convolution": ALONE | {"backbone": "conv"},
    "network alone, tiny": ALONE | {"pretrained": None, "preset": "tiny"},
    "network alone, base": ALONE | {"pretrained": None, "preset": "base"},
    "network fine-tuned, 3 epochs": {
        "random_kernels": False, "strategy": "finetune", "max_epochs": 3, "early_stopping": False,
    },
}  # fmt: skip
PEERS = (PEER, "multirocket-hydra")


class Case(NamedTuple):
    """A model, and the shape of the windows that it is fitted to."""

    model: str
    n_windows: int = 200
    n_chans: int = 3
    n_times: int = 1024


FEW = ("default", "network alone", PEER)
CASES: dict[str, list[Case]] = {  # by table
    "settings": [Case(model) for model in (*SETTINGS, *PEERS)],
    "windows": [Case(model, n_windows=n) for n in (50, 200, 1000) for model in FEW],
    "channels": [Case(model, n_chans=n) for n in (1, 3, 8) for model in FEW],
    "length": [Case(model, n_times=n) for n in (256, 1024, 4096) for model in FEW],
}
QUICK: dict[str, list[Case]] = {
    "settings": [Case(model, 50, 3, 256) for model in FEW],
    "channels": [Case(model, 50, 1, 256) for model in FEW],
}


# --- one measurement, in a process of its own ----------------------------------------------------


def real_windows(case: Case) -> tuple[Any, Any]:
    """Windows to fit and ``N_TEST`` others, float32, and their labels."""
    import numpy as np

    from citrus_sk.datasets import load_watch

    watch = load_watch()
    order = np.random.default_rng(0).permutation(len(watch.X))
    rows = np.resize(order, case.n_windows + N_TEST)
    chans = np.arange(case.n_chans) % watch.X.shape[1]
    times = np.arange(case.n_times) % watch.X.shape[2]
    X = watch.X[rows][:, chans][:, :, times]
    return np.ascontiguousarray(X, np.float32), watch.y[rows]


def make(model: str) -> Any:
    if model in PEERS:
        from citrus_sk.evaluation import make_peer

        return make_peer(model, random_state=0)
    from citrus_sk import CitrusClassifier

    return CitrusClassifier(random_state=0, **SETTINGS[model])


def seconds(function: Callable[..., Any], *arguments: Any) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def prepared(case: Case) -> tuple[Any, Any, Any]:
    """A model that was fitted and used once, windows and labels."""
    X, y = real_windows(case)
    model = make(case.model)
    n = min(N_WARM, case.n_windows)
    model.fit(X[:n], y[:n]).predict(X[:1])
    return model, X, y


def measure(case: Case) -> dict[str, Any]:
    from many_windows import peak

    model, X, y = prepared(case)
    warm, n = peak(), case.n_windows
    found = {"fit_s": seconds(model.fit, X[:n], y[:n])}
    found["predict_ms"] = 1000 * seconds(model.predict, X[n:]) / N_TEST
    singles = [seconds(model.predict, X[n + i : n + i + 1]) for i in range(N_SINGLE)]
    found["single_ms"] = 1000 * median(singles)
    return case._asdict() | found | {"warm_gb": warm, "peak_gb": peak()}


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def run(tables: dict[str, list[Case]], repeats: int) -> dict[str, Any]:
    cases = list(dict.fromkeys(case for table in tables.values() for case in table))
    rows = []
    for model in dict.fromkeys(case.model for case in cases):  # fills caches of compiled functions
        in_fresh_process(prepared, Case(model, N_WARM, 1, 64))
    for turn in range(repeats):
        for case in cases:
            rows.append({"turn": turn} | in_fresh_process(measure, case))
            print(f"{turn + 1}/{repeats} {case}", flush=True)
    return {"machine": machine(), "repeats": repeats, "rows": rows}


def machine() -> dict[str, Any]:
    names = ("torch", "numba", "aeon", "scikit-learn")
    return {
        "processor": processor(),
        "threads": int(os.environ["OMP_NUM_THREADS"]),
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


# --- tables --------------------------------------------------------------------------------------


def table(results: dict[str, Any], name: str, tables: dict[str, list[Case]] = CASES) -> str:
    """Medians of the turns, and medians of the ratios to MiniRocket in the same turn."""
    lines = [
        "| model | windows, channels, samples | fit, s | ratio | predict, ms a window | ratio |"
        " one window alone, ms | ratio | memory, GB |",
        "|" + "---|" * 9,
    ]
    for case in tables[name]:
        own = turns(results, case)
        peer = turns(results, case._replace(model=PEER))
        cells = [case.model, f"({', '.join(map(str, case[1:]))})"]
        for key, form in (("fit_s", ".2f"), ("predict_ms", ".1f"), ("single_ms", ".1f")):
            ratios = [a[key] / b[key] for a, b in zip(own, peer, strict=True)]
            cells += [format(median(row[key] for row in own), form), f"{median(ratios):.1f}"]
        cells.append(f"{median(row['peak_gb'] for row in own):.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def turns(results: dict[str, Any], case: Case) -> list[dict[str, Any]]:
    shape = case._asdict().items()
    found = [row for row in results["rows"] if shape <= row.items()]
    if not found:
        raise ValueError(f"The results have no row of {case}; run benchmarks/performance.py.")
    return sorted(found, key=lambda row: row["turn"])


def summary(results: dict[str, Any]) -> str:
    """Sentences on the machine that the tables are of, and on their memory."""
    known, turns = results["machine"], results["repeats"]
    packages = [f"{name} {known[name]}" for name in ("torch", "numba", "aeon", "scikit-learn")]
    base = median(row["warm_gb"] for row in results["rows"])
    return (
        f"Measured on {counted(known['threads'], 'thread')} of {known['processor']}, with Python "
        f"{known['python']}, {', '.join(packages)}; medians of {counted(turns, 'turn')}. "
        f"Libraries, data and the small first fit take {base:.2f} GB of the memory."
    )


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def stored(name: str) -> str:
    """A table, or the summary, of the stored results."""
    if not RESULTS.exists():
        return "(There are no results for this table yet.)"
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    return summary(results) if name == "summary" else table(results, name)


# --- the command ---------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few cases, once; write no file")
    parser.add_argument("--profile", action="store_true", help="print where the time is spent")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file to write; default: that of the tables")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    if options.profile:
        from profiled import describe

        for model in ("default", "network alone", "network fine-tuned, 3 epochs"):
            case = Case(model, 50, 3, 256) if options.quick else Case(model)
            print(in_fresh_process(describe, case), flush=True)
        return
    tables = QUICK if options.quick else CASES
    results = run(tables, 1 if options.quick else options.repeats)
    path = options.json or (None if options.quick else RESULTS)
    if path is not None:
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"\n{summary(results)}")
    for name in tables:
        print(f"\n{table(results, name, tables)}")


if __name__ == "__main__":
    main()
