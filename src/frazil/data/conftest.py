"""Doctests of modules that need torch are collected only where there is torch; this is in no wheel."""

from importlib.util import find_spec

NEED_TORCH = ("dataset", "loader", "tensors", "workers")
collect_ignore = [] if find_spec("torch") else [f"{name}.py" for name in NEED_TORCH]
