"""Evaluation: the paper's tables. Indicators against ratings (Tables 6, 7), pictures before and after (2 to 5, 8)."""

from __future__ import annotations

from .correlation import Correlation, correlate, fit_logistic, logistic
from .indicators import Context, Indicator, Spec, register
from .statistics import Estimate, bootstrap

__all__ = [
    "Context",
    "Correlation",
    "Estimate",
    "Indicator",
    "Spec",
    "bootstrap",
    "correlate",
    "fit_logistic",
    "logistic",
    "register",
]
