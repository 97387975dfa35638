"""From a corpus to a pre-trained network: sampling, the run, its file and its processes.

Imports the rest of `training`, and what `training` imports.
"""
