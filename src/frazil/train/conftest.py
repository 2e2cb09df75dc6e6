from importlib.util import find_spec

# All of this package trains, in torch, which one of the two supported stacks goes without.
collect_ignore_glob = [] if find_spec("torch") else ["*.py"]
