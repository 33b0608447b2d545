"""Recipes: everything that decides what a run trains, as TOML; those that ship with the package, and their schema."""
