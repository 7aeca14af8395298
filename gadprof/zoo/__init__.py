"""The networks that the paper compares with, as plans."""
