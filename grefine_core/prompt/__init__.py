"""Prompts: their markup, their phrases, and the weights that are put on them."""
