"""Energy from counts: the estimate, and its models as TOML files, every constant with unit, source and date."""

from kdsnn import make_callable

make_callable(__name__)
