"""Results: the frozen records that parts exchange, and their plain, JSON and tabular forms."""
