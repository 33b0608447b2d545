"""Energy models that ship with the package, as TOML: every constant with unit, source and date."""
