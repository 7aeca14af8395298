"""Probes: what is read from the machine while a model runs."""
