"""Training teachers, and distilling students from them."""

from kdsnn import make_callable

make_callable(__name__)
