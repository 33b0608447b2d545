"""The machines that run an integer network: each emits the same spikes."""
