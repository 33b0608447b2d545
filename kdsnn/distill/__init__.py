"""Training teachers, and distilling students from them."""
