"""Accuracy under noise on images, spikes and weights: what is measured, and the measurement."""
