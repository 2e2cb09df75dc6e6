"""Train a model that frazil ships: ``python -m frazil.train s2-l2a-ae-f8 --data FOLDER --output FOLDER``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch

from frazil.train.recipes import RECIPES, make


def main(argv: list[str] | None = None) -> int:
    """Run one recipe and write the model's two files."""
    parser = argparse.ArgumentParser(prog="python -m frazil.train", description=__doc__)
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("FRAZIL_DATA"), help="default: $FRAZIL_DATA"
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, help="updates, in place of the recipe's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(argv)
    if options.data is None:
        parser.error("say where the training data are: --data FOLDER, or FRAZIL_DATA")
    torch.set_num_threads(options.threads)
    model = make(options.name, options.data, steps=options.steps, seed=options.seed, report=_say)
    written = model.save(options.output)
    _say(f"{written}: {model.digest}")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
