"""Methods of choosing a scale, a file each; `kdsnn.choices.METHODS` lists them."""
