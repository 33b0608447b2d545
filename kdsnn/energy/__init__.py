"""Energy from counts: the estimate, and its models as TOML files, every constant with unit, source and date."""
