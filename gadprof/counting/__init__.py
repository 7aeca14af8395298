"""Counting: the trace of a forward pass, and what each of its operations costs."""
