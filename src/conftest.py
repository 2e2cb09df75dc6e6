"""Doctests of modules that need torch are collected only where there is torch."""

from importlib.util import find_spec

NEED_TORCH = ("dataset", "loader", "tensors", "workers")
collect_ignore = [] if find_spec("torch") else [f"frazil/data/{name}.py" for name in NEED_TORCH]
