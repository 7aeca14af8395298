"""Counting: our trace, conventions, one adapter a backend, and the audit."""
