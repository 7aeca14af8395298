"""Families: pure functions from a frozen spec to a plan, one a kind of network."""
