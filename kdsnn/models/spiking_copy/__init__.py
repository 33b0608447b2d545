"""Spiking copies of ANNs: their ReLUs become neurons, and their weights are where the training starts."""
