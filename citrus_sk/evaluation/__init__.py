"""Evaluation of classifiers with few labels: splits, learning curves and comparisons."""

from ._comparison_display import CriticalDifferenceDisplay, PairedDifferenceDisplay
from ._curve import fraction_curve
from ._display import FractionCurveDisplay
from ._fractions import StratifiedFractionKFold
from ._outcome_display import ConfusionCurveDisplay, ReliabilityDisplay
from ._peers import list_peers, make_peer
from ._report import write_report
from ._result import FractionCurve
from ._statistics import compare_on_folds, compare_over_sets, correct_holm, rank_models

__all__ = [
    "ConfusionCurveDisplay",
    "CriticalDifferenceDisplay",
    "FractionCurve",
    "FractionCurveDisplay",
    "PairedDifferenceDisplay",
    "ReliabilityDisplay",
    "StratifiedFractionKFold",
    "compare_on_folds",
    "compare_over_sets",
    "correct_holm",
    "fraction_curve",
    "list_peers",
    "make_peer",
    "rank_models",
    "write_report",
]
