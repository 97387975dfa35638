"""From a corpus to a pre-trained network: sampler, run, run file and processes.

Imports the rest of `training`, and what `training` imports.
"""
