"""Evaluation of classifiers with few labels: splits, learning curves and comparisons.

Imports `estimators` and all that is below it.
"""

from .comparison_display import CriticalDifferenceDisplay, PairedDifferenceDisplay
from .curve_display import FractionCurveDisplay
from .curves import fraction_curve
from .new_person import new_person_curve
from .new_person_display import NewPersonDisplay
from .new_person_result import NewPersonCurve
from .outcome_display import ConfusionCurveDisplay, ReliabilityDisplay
from .peers import list_peers, make_peer
from .person_splitter import LeaveOnePersonOut
from .report import write_report
from .result import FractionCurve
from .splitters import StratifiedFractionKFold
from .statistics import compare_on_folds, compare_over_sets, correct_holm, rank_models

__all__ = [
    "ConfusionCurveDisplay",
    "CriticalDifferenceDisplay",
    "FractionCurve",
    "FractionCurveDisplay",
    "LeaveOnePersonOut",
    "NewPersonCurve",
    "NewPersonDisplay",
    "PairedDifferenceDisplay",
    "ReliabilityDisplay",
    "StratifiedFractionKFold",
    "compare_on_folds",
    "compare_over_sets",
    "correct_holm",
    "fraction_curve",
    "list_peers",
    "make_peer",
    "new_person_curve",
    "rank_models",
    "write_report",
]
