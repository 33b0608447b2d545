"""From a NIR graph of another simulator to a float network."""
