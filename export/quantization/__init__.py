"""From a float network to an integer network: scales, rounding, and proof that nothing can overflow."""
