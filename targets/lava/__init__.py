"""Real Lava (lava-nc) in its own Python 3.10 interpreter."""
