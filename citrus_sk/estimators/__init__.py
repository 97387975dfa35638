"""The scikit-learn estimators, with their parameters, fitted attributes, pickles and export.

Imports `training` and the rooms below it.
"""
