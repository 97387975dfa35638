"""The version of the package, which is also stored in checkpoints and pickles."""

__version__ = "0.1.0"
