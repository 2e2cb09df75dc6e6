"""Entropy coding in integers: the same bits on every machine."""
