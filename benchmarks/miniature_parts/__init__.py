"""The parts of ``benchmarks/miniature.py``, one concept a file."""
