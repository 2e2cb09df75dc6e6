"""Chunks whose errors are bounded: encoded, decoded again, compared, corrected."""
