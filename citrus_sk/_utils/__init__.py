"""Tools of every room: checks of parameters, devices, files, plots and the version.

Imports nothing from the other rooms.
"""
