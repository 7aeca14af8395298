"""Renderers: frozen results in, text or bytes out; nothing here writes a file."""
