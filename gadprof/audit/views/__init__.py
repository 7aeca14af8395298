"""The places from which counters look at a forward pass, one a file; records are plain data."""
