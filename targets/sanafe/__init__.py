"""SANA-FE, a simulator of Loihi's mesh, in a process of its own: it is GPL-3.0, and no part of kdsnn imports it."""
