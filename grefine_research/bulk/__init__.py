"""Scoring and refining more pictures than one machine wants to: in parts, by one process or by many (Ray Data).

What is measured of a picture depends on nothing but the picture, its prompt, the models and the options; so it does not
matter which worker takes it, in which part, or in which run.
"""

from __future__ import annotations

from .parts import Parts
from .run import Engine, Summary, run_bulk
from .table import parquet_tasks
from .tasks import Task, tasks_of
from .work import Refining, Scoring

__all__ = ["Engine", "Parts", "Refining", "Scoring", "Summary", "Task", "parquet_tasks", "run_bulk", "tasks_of"]
