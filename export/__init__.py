"""From a trained student to an integer network and its files."""
