"""From a trained student, or a NIR file of anybody's, to an integer network and its files."""
