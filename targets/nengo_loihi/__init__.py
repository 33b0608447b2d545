"""The nengo-loihi target: an emulator of Loihi 1 that others wrote, in a Python of its own."""
