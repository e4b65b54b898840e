"""Training, evaluation, data sets, bulk work, and the making of the miniature world, on top of ``grefine_core``.

The library and the nodes never need it: they find its commands by name, and say so where it is not installed.
"""
