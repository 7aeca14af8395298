"""Every other counter's number, explained against ours; called as ``gadprof.api.audit``."""
