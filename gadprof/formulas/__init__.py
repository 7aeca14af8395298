"""Closed forms, written by hand from the literature."""
