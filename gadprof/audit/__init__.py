"""Audit: every other counter's number, explained against ours."""
