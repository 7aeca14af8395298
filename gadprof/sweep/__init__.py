"""Design spaces: costed by the million, filtered, and reduced to their Pareto front."""
