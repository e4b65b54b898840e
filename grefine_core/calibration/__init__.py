"""Calibration where the weights are: bounds, thresholds, noise, and what can be trusted, from reference pictures.

``auto`` does it at the first load, ``measuring`` looks at the pictures, ``bounds`` draws the conclusions, and ``store``
keeps them.
"""
