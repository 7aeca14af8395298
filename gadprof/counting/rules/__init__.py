"""Counting rules: what one operation costs, by its name."""
