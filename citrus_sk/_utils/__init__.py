"""Tools that every room uses: parameter checks, devices, files, plots and the version.

Imports nothing from the other rooms.
"""
