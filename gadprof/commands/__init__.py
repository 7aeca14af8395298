"""One module a command; nothing is imported until the command runs."""
