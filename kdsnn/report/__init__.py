"""Reports: JSON is the truth, the HTML page is a view of it."""

from kdsnn import make_callable

make_callable(__name__)
