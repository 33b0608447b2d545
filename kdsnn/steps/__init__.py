"""The steps of the road as functions: what the command line calls, and what Python code can call too."""
