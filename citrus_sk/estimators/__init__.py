"""The scikit-learn estimators: parameters, fitted attributes, pickles and export.

Imports `training` and all that is below it.
"""
