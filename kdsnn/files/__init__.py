"""Files: what a reader raises becomes one clear error, and what is written is there whole or not at all."""
