"""Explaining: where the time of a model goes, and why."""
