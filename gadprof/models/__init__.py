"""Models: what a model string names, what it is called with, and how it is counted."""
