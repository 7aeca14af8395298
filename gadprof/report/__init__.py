"""Reports: sections gathered from counts, measurements and data files; called as ``api.report``."""
