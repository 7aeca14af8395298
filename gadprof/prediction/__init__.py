"""Predicting the time of a forward pass on named devices, from a trace and public measurements."""
