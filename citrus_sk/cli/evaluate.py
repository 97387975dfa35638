"""``citrus-sk evaluate``: a comparison of classifiers on one data set, and a report."""

from __future__ import annotations

import csv
import importlib
import sys
import warnings
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from .._utils.files import make_folder
from .._utils.optional import require
from ..evaluation import FractionCurve, fraction_curve, list_peers, make_peer, write_report
from ..evaluation.result import KEYS, TIMES, writable
from ..signals.recordings.label_tables import read_labelled

# Default of --fractions, which takes minutes.
FRACTIONS = (0.02, 0.1, 0.5)
WRITTEN = ("scores.csv", "times.csv", "curve.json", "report.html")
ALIGNMENTS = ("resample", "crop", "pad", "native", "rate")


def run_evaluate(
    out: Path,
    *,
    data: Path | None = None,
    labels: Path | None = None,
    dataset: str | None = None,
    estimators: str | None = None,
    ablation: bool = False,
    fractions: Sequence[float] | None = None,
    shots: Sequence[int] | None = None,
    folds: int = 3,
    repeats: int | str = 1,
    scoring: Sequence[str] = ("f1_macro", "accuracy", "neg_log_loss"),
    sfreq: float | None = None,
    picks: Sequence[str] | None = None,
    oracle: bool = False,
    jobs: int = -1,
    seed: int = 0,
    title: str | None = None,
    progress: bool = True,
    command: str | None = None,
) -> bool:
    """Score estimators on a data set and write tables and a report; see ``--help``.

    Returns
    -------
    bool
        True if at least one fit could be scored.
    """
    make_folder(out)
    # Fail now, and not after hours.
    require("matplotlib", "The report")
    paths = {name: writable(out / name) for name in WRITTEN}
    bunch = _load(data, labels, dataset, picks)
    _check_groups(bunch, folds)
    sfreq = bunch.sfreq if sfreq is None else sfreq
    models = make_estimators(estimators, sfreq=sfreq, seed=seed, ablation=ablation)
    if fractions is None and shots is None:
        fractions = FRACTIONS
    print(_about(bunch, sfreq, models), flush=True)
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always", UserWarning)
        curve = fraction_curve(
            models, bunch.X, bunch.y, groups=bunch.groups, fractions=fractions, shots=shots,
            cv=folds, n_repeats=repeats, scoring=list(scoring), random_state=seed, n_jobs=jobs,
            run_dir=out / "run", report_oracle_epoch=oracle, verbose=int(progress),
        )  # fmt: skip
    # Only warnings about the data: joblib also warns that a worker stopped.
    texts = [str(w.message) for w in raised if w.category is UserWarning]
    notes = list(dict.fromkeys(text for text in texts if not text.startswith("A worker stopped")))
    for note in notes:
        print(f"warning: {note}", file=sys.stderr)
    name = dataset or (data.name if data else "")
    _write(curve, paths, title or f"Classifiers on {name}", notes, command)
    print(_closing_words(curve, out))
    return any(np.isfinite(row[metric]) for row in curve.rows for metric in curve.metrics)


def _load(
    data: Path | None, labels: Path | None, dataset: str | None, picks: Sequence[str] | None
) -> Bunch:
    if (data is None) == (dataset is None):
        raise ValueError("expected either DATA (a file or folder) or --dataset, but not both.")
    if data is not None:
        return read_labelled(data, labels, picks=picks)
    for option, value in (("--labels", labels), ("--picks", picks)):
        if value is not None:
            raise ValueError(f"{option} is for a folder of recordings; omit it with --dataset.")
    from ..datasets import load_watch

    watch = load_watch()
    return Bunch(
        X=watch.X, y=watch.y, groups=watch.groups, sfreq=watch.sfreq, ch_names=watch.ch_names,
        groups_from="people",
    )  # fmt: skip


def _check_groups(bunch: Bunch, folds: int) -> None:
    """Raise ValueError if there are fewer groups than folds."""
    if bunch.groups is None or (n_groups := len(np.unique(bunch.groups))) >= folds:
        return
    remedy = f"Pass --folds {n_groups}, or provide" if n_groups > 1 else "Provide"
    raise ValueError(
        f"the data have {n_groups} group(s) for {folds} folds; expected at least one group for "
        f"each fold. The groups are {bunch.groups_from}. {remedy} smaller groups: a column 'group' "
        "(in an .npz file the array 'groups') with a value for each person, or within one person "
        "for each run or block of time."
    )


def make_estimators(
    names: str | None, *, sfreq: float | None, seed: int, ablation: bool
) -> dict[str, Any]:
    """Make the estimators that the command line names, and those of the ablation.

    Parameters
    ----------
    names : str or None
        Names of `list_peers`, ``module:object`` or ``name=module:object``, separated by commas.
    sfreq : float or None
        Sampling rate in Hz; None if unknown.
    seed : int
        Random state of the peers and of the ablation.
    ablation : bool
        Whether to add all combinations of alignment, backbone and pre-training.

    Returns
    -------
    dict of str to estimator
    """
    models: dict[str, Any] = {}
    for text in (names or ("" if ablation else "citrus,minirocket,bandpower")).split(","):
        if not (text := text.strip()):
            continue
        name, _, target = text.rpartition("=")
        name = name or target
        if name in models:
            raise ValueError(f"--estimators has {name!r} twice; expected each name once.")
        if ":" in target:
            models[name] = _imported(target)
        else:
            models[name] = make_peer(target, sfreq=sfreq, random_state=seed)
    return models | (_ablation(sfreq, seed) if ablation else {})


def _imported(target: str) -> Any:
    module, _, attribute = target.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:  # as `python -m` does; a console script does not
        sys.path.insert(0, folder)
    try:
        found = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"--estimators: {target!r} cannot be imported: {error}. Expected module:object with a "
            f"module that Python can import, or one of {', '.join(list_peers())}."
        ) from error
    # Call a class, or a function that makes an estimator; only an instance is used directly.
    is_instance = hasattr(found, "get_params") and not isinstance(found, type)
    return found if is_instance or not callable(found) else found()


def _ablation(sfreq: float | None, seed: int) -> dict[str, Any]:
    """Make linear probes of the network for all alignments, backbones and weights."""
    from sklearn.pipeline import make_pipeline

    from .. import CitrusClassifier, SignalAligner

    models = {}
    alignments = ALIGNMENTS if sfreq is not None else ALIGNMENTS[:-1]
    for method, backbone, weights in product(alignments, ("hybrid", "conv"), ("eeg-freq", None)):
        probe = CitrusClassifier(
            weights, backbone=backbone, strategy="linear-probe", random_kernels=False,
            random_state=seed,
        )  # fmt: skip
        aligner = SignalAligner(method=method, sfreq=sfreq if method == "rate" else None)
        models[f"{method}, {backbone}, {weights or 'scratch'}"] = make_pipeline(aligner, probe)
    return models


def _about(bunch: Bunch, sfreq: float | None, models: dict[str, Any]) -> str:
    shape = np.shape(bunch.X)
    channels = f"{shape[1] if len(shape) == 3 else 1} channels"
    if bunch.ch_names is not None:
        channels += f" ({', '.join(bunch.ch_names)})"
    length = f"{shape[-1]} samples" + (f" ({shape[-1] / sfreq:g} s)" if sfreq else "")
    text = f"{shape[0]} windows of {length}, {channels}, {len(np.unique(bunch.y))} classes"
    if bunch.groups is None:
        text += "; no groups: scores are too high if windows of one person or recording are similar"
    else:
        text += f", {len(np.unique(bunch.groups))} groups ({bunch.groups_from})"
    return f"{text}.\n{len(models)} estimators: {'; '.join(models)}."


def _write(
    curve: FractionCurve, paths: dict[str, Path], title: str, notes: Sequence[str],
    command: str | None,
) -> None:  # fmt: skip
    curve.to_csv(paths["scores.csv"], times=False)
    with paths["times.csv"].open("w", newline="") as file:
        writer = csv.DictWriter(file, [*KEYS, *TIMES], extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for row in curve.rows:
            writer.writerow({k: "" if v != v else v for k, v in row.items()})
    curve.to_json(paths["curve.json"])
    write_report(curve, paths["report.html"], title=title, notes=notes, command=command)


def _closing_words(curve: FractionCurve, out: Path) -> str:
    """Return a table of the first metric, and the paths of the files."""
    metric = curve.metrics[0]
    width = max(len(name) for name in curve.estimators)
    amounts = [(f, "fraction", f"{100 * f:g} %") for f in curve.fractions]
    amounts += [(n, "shots", f"{n} per class") for n in curve.shots]
    lines = [f"\n{metric}, mean over folds and repeats:"]
    lines.append(" " * width + "".join(f"{text:>15}" for *_, text in amounts))
    partly = False
    for name in curve.estimators:
        cells = []
        for value, kind, _ in amounts:
            band = dict(curve.bands(name, metric, kind))[value]
            partly |= 0 < band["n_scores"] < band["n_fits"]
            mark = "*" if 0 < band["n_scores"] < band["n_fits"] else ""
            mean = "failed" if np.isnan(band["mean"]) else f"{band['mean']:.3f}{mark}"
            cells.append(f"{mean:>15}")
        lines.append(f"{name:<{width}}{''.join(cells)}")
    if partly:
        lines.append("* mean of fewer fits, because the others failed")
    lines += ["", f"Report: {out / 'report.html'}", f"Scores: {out / 'scores.csv'}"]
    lines += [f"Times:  {out / 'times.csv'}", f"All:    {out / 'curve.json'}"]
    return "\n".join(lines)
