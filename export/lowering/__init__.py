"""From a trained module to a float network in spiking normal form."""
