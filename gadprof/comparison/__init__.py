"""Comparing models: one row a model, in one table."""
