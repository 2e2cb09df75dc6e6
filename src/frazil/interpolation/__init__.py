"""Stacks of whole numbers, coded from coarse to fine by prediction between points already known.

`frazil.interpolation.stream` has the three functions that matter. Nothing is
imported here: numba waits for the first chunk.
"""
