"""The gate: budgets, baselines and the verdict of a check."""
