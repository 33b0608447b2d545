"""From a trained student, or a NIR file of anybody's, to an integer network and its files."""

from kdsnn import make_callable

make_callable(__name__)
