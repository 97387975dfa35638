"""The version of the package, which files of weights and pickles name."""

__version__ = "0.1.0"
