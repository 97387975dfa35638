"""``citrus-sk evaluate``: a comparison of classifiers on one data set, and a report."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.utils import Bunch

from .._utils.files import make_folder
from .._utils.optional import require
from .._utils.validation import last_step
from ..evaluation import (
    FractionCurve,
    NewPersonCurve,
    fraction_curve,
    list_peers,
    make_peer,
    new_person_curve,
    write_report,
)
from ..evaluation.peers import can_be_recentred, recentred_name
from ..evaluation.result import KEYS
from ..evaluation.score_table import TIMES, writable, write_csv
from .arguments import DataSource
from .data import about, load_labelled
from .output import collected_warnings

# Default of --fractions, which takes minutes.
FRACTIONS = (0.02, 0.1, 0.5)
WRITTEN = ("scores.csv", "times.csv", "curve.json", "report.html")
WRITTEN_TO_ADAPT = ("new_person.csv", "new_person.json")
DEFAULT = "citrus,minirocket,bandpower"
ALIGNMENTS = ("resample", "crop", "pad", "native", "rate")


def run_evaluate(
    out: Path,
    *,
    source: DataSource,
    estimators: str | None = None,
    ablation: bool = False,
    adapt: bool = False,
    fractions: Sequence[float] | None = None,
    shots: Sequence[int] | None = None,
    folds: int = 3,
    repeats: int | str = 1,
    scoring: Sequence[str] = ("f1_macro", "accuracy", "neg_log_loss"),
    oracle: bool = False,
    cache: bool = True,
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
    require("matplotlib", "The report")
    bunch = load_labelled(source)
    _check_groups(bunch, folds)
    if adapt:
        _check_people(bunch)
    models = make_estimators(estimators, sfreq=bunch.sfreq, seed=seed, ablation=ablation)
    # Fail now, and not after hours; wrong data leave no empty folder.
    make_folder(out)
    names = WRITTEN + (WRITTEN_TO_ADAPT if adapt else ())
    paths = {name: writable(out / name) for name in names}
    if fractions is None and shots is None:
        fractions = FRACTIONS
    print(f"{about(bunch)}\nEstimators: {'; '.join(models)}.", flush=True)
    shared: dict[str, Any] = {
        "scoring": list(scoring), "random_state": seed, "n_jobs": jobs, "verbose": int(progress),
        "cache_features": cache,
    }  # fmt: skip
    new_person = None
    with collected_warnings() as notes:
        with _people_in_fit(models, bunch.groups):
            curve = fraction_curve(
                models, bunch.X, bunch.y, groups=bunch.groups, fractions=fractions, shots=shots,
                cv=folds, n_repeats=repeats, run_dir=out / "run", report_oracle_epoch=oracle,
                **shared,
            )  # fmt: skip
        if adapt:
            if progress:
                print("New person:", file=sys.stderr, flush=True)
            adapting = make_adapting(estimators, sfreq=bunch.sfreq, seed=seed)
            new_person = new_person_curve(
                adapting, bunch.X, bunch.y, bunch.groups,
                shuffle=False, run_dir=out / "run-new-person", **shared,
            )  # fmt: skip
    _write(curve, new_person, paths)
    write_report(
        curve, paths["report.html"], notes=notes, command=command, new_person=new_person,
        title=title or f"Classifiers on {bunch.name}",
    )  # fmt: skip
    print(_closing_words(curve, new_person, out))
    curves = (curve, new_person) if new_person else (curve,)
    return any(np.isfinite(row[m]) for each in curves for row in each.rows for m in each.metrics)


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


def _check_people(bunch: Bunch) -> None:
    """Raise ValueError if the data do not have several people."""
    if bunch.groups is None:
        raise ValueError(
            "--adapt evaluates on a new person, but the data have no groups. Add a column 'group' "
            "(in an .npz file the array 'groups') with a value for each person."
        )
    if len(np.unique(bunch.groups)) < 2:
        raise ValueError(
            "--adapt evaluates on a new person, but all windows are of one group "
            f"({bunch.groups_from}); expected at least two people."
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
    models = {
        name: _make(target, sfreq, seed)
        for name, target in _named(names or ("" if ablation else DEFAULT)).items()
    }
    return models | (_ablation(sfreq, seed) if ablation else {})


def make_adapting(names: str | None, *, sfreq: float | None, seed: int) -> dict[str, Any]:
    """Make the estimators for a new person, with peers also in a version that recentres features.

    Parameters
    ----------
    names : str or None
        Names of estimators, as for `make_estimators`.
    sfreq : float or None
        Sampling rate in Hz; None if unknown.
    seed : int
        Random state of the peers.

    Returns
    -------
    dict of str to estimator
    """
    models: dict[str, Any] = {}
    for name, target in _named(names or DEFAULT).items():
        models[name] = _make(target, sfreq, seed)
        if can_be_recentred(target):
            peer = make_peer(target, sfreq=sfreq, random_state=seed, recenter=True)
            models[recentred_name(name)] = peer
    return models


@contextmanager
def _people_in_fit(models: Mapping[str, Any], groups: Any) -> Iterator[None]:
    """Pass people to ``fit`` of each `CitrusClassifier`, as ``citrus-sk fit`` does."""
    from .. import CitrusClassifier

    if groups is None:
        yield
        return
    with config_context(enable_metadata_routing=True):
        for model in models.values():
            if isinstance(last := last_step(model), CitrusClassifier):
                last.set_fit_request(groups=True)
        yield


def _named(names: str) -> dict[str, str]:
    """Parse a list of names; return a peer, or ``module:object``, for each name."""
    found: dict[str, str] = {}
    for text in names.split(","):
        if text := text.strip():
            name, _, target = text.rpartition("=")
            name = name or target
            if name in found:
                raise ValueError(f"--estimators has {name!r} twice; expected each name once.")
            found[name] = target
    return found


def _make(target: str, sfreq: float | None, seed: int) -> Any:
    return _imported(target) if ":" in target else make_peer(target, sfreq=sfreq, random_state=seed)


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


def _write(curve: FractionCurve, new_person: NewPersonCurve | None, paths: dict[str, Path]) -> None:
    curve.to_csv(paths["scores.csv"], times=False)
    write_csv(paths["times.csv"], [*KEYS, *TIMES], curve.rows)
    curve.to_json(paths["curve.json"])
    if new_person is not None:
        new_person.to_csv(paths["new_person.csv"], times=False)
        new_person.to_json(paths["new_person.json"])


def _closing_words(curve: FractionCurve, new_person: NewPersonCurve | None, out: Path) -> str:
    """Return a table of the first metric, and the paths of the files."""
    metric = curve.metrics[0]
    head = [f"{100 * f:g} %" for f in curve.fractions] + [f"{n} per class" for n in curve.shots]
    bands = {
        name: [
            band for kind in ("fraction", "shots") for _, band in curve.bands(name, metric, kind)
        ]
        for name in curve.estimators
    }
    lines = _means(f"{metric}, mean over folds and repeats:", head, bands)
    if new_person is not None:
        head = [f"{n} per class" if isinstance(n, int) else n for n in new_person.known]
        bands = {
            name: [band for _, band in new_person.bands(name, metric)]
            for name in new_person.estimators
        }
        title = f"{metric} on a new person, by what is known, mean over people:"
        lines += _means(title, head, bands)
    lines += ["", f"Report: {out / 'report.html'}", f"Scores: {out / 'scores.csv'}"]
    lines += [f"Times:  {out / 'times.csv'}", f"All:    {out / 'curve.json'}"]
    if new_person is not None:
        lines += [f"        {out / name}" for name in WRITTEN_TO_ADAPT]
    return "\n".join(lines)


def _means(
    title: str, head: Sequence[str], bands: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[str]:
    """Return lines of a table of means, with a mark for means without failed fits."""
    width = max(map(len, bands))
    lines = [f"\n{title}", " " * width + "".join(f"{text:>15}" for text in head)]
    partly = False
    for name, of_estimator in bands.items():
        cells = []
        for band in of_estimator:
            is_partial = 0 < band["n_scores"] < band["n_fits"]
            partly |= is_partial
            mean = "failed" if np.isnan(band["mean"]) else f"{band['mean']:.3f}"
            cells.append(f"{mean + '*' * is_partial:>15}")
        lines.append(f"{name:<{width}}{''.join(cells)}")
    if partly:
        lines.append("* mean of fewer fits, because the others failed")
    return lines
