"""A user's own function, `my_net.py:make` or `my_package.nets:make`: loaded, called, and known by its source."""
