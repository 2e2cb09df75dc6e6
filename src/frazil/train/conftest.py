"""Doctests of modules that train are collected only where there is torch; this is in no wheel."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") else ["*.py"]
