"""The demonstration: the whole method on a photograph, with UNTRAINED stand-ins for the models.

The stand-ins have the real models' formats and run through the real code, but their weights are random: scores and maps
mean nothing, and what is painted is noise.
"""

from __future__ import annotations

from pathlib import Path

#: A photograph by Rachel Michetti, public domain (CC0), and what it shows.
PICTURE = Path(__file__).with_name("coffee.jpg")
PROMPT = "a cup of coffee on a saucer with a silver spoon, on a dark wooden table, photograph"
NOTICE = (
    "The models are UNTRAINED stand-ins with random weights: the maps mean nothing, what is painted is noise, and the "
    "guard decides by meaningless scores. This shows that the whole method runs here, not what it can do."
)
