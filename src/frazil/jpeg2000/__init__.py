"""JPEG 2000: the engines, their codestreams, and how much of them to keep."""
