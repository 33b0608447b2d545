"""Where jobs run: processes of this machine, or the workers of a Dask scheduler; and what ends them from outside."""
