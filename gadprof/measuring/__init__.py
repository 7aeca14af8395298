"""Measuring: latency, memory and energy of modules, with intervals."""
