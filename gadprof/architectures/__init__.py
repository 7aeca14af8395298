"""Architectures: pure functions from a frozen spec to a plan."""
