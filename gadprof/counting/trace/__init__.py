"""The trace of a module: how a forward pass is seen, operation by operation."""
