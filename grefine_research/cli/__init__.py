"""The commands ``train``, ``evaluate`` and ``bulk`` of ``grefine``."""
