"""Placement: a network on the cores of a chip, and what each core needs against what it has."""
