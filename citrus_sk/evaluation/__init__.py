"""How good an estimator is when labels are few: splits over data fractions."""

from ._fractions import StratifiedFractionKFold

__all__ = ["StratifiedFractionKFold"]
