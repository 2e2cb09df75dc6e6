"""The training example learns, and after a kill goes on as if nothing had been; by one process and by two."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("torch")

SCRIPT = Path(__file__).parents[1] / "examples/train_forecast.py"
SETTINGS = ["--epochs", "2", "--batch-size", "8", "--save-every", "3", "--width", "8", "--rate", "0.01"]
KILLED_AT = 8  # the step at which a run is killed: after two checkpoints, with two steps to be done again
# The made-up field has 202 steps, 162 of them for training; the first and the last of these are no anchors.
SAMPLES = range(1, 161)

# Runs a script and kills its process, as the out-of-memory killer does, when it begins its n-th step.
KILLER = """
import os, runpy, signal, sys
import torch

left, step = int(sys.argv[1]), torch.optim.AdamW.step

def counted(*args, **kwargs):
    global left
    left -= 1
    if left == 0 and os.environ.get("RANK", "0") == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*args, **kwargs)

torch.optim.AdamW.step = counted
del sys.argv[:2]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(folder, *arguments, processes=1, killed_at=None):
    """Run the example in ``folder`` and return (exit status, what it printed)."""
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    if killed_at is not None:
        killer = folder / "killer.py"
        killer.write_text(KILLER)
        command += [str(killer), str(killed_at)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    env.pop("FRAZIL_DATA", None)
    done = subprocess.run(
        [*command, str(SCRIPT), "--journal", "journal", *SETTINGS, *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def steps(folder, rank=0):
    """Lines of a process's journal by step; a step that was done again is there as it was done last."""
    lines = map(json.loads, (folder / f"journal.{rank}.jsonl").read_text().splitlines())
    return {line["step"]: line for line in lines}


def samples(lines, epoch):
    return Counter(i for line in lines if line["epoch"] == epoch for i in line["samples"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folder and output of a run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    status, output = run(folder)
    assert status == 0, output
    return folder, output


def test_learns_more_than_persistence(whole):
    _, output = whole
    errors = re.findall(r"epoch (\d): error ([\d.]+), of persistence ([\d.]+)", output)
    assert [epoch for epoch, _, _ in errors] == ["0", "1"]
    assert float(errors[-1][1]) < float(errors[-1][2])


def test_sees_every_sample_once_an_epoch(whole):
    lines = steps(whole[0]).values()
    for epoch in (0, 1):
        assert samples(lines, epoch) == Counter(SAMPLES)


def test_goes_on_after_a_kill_as_if_nothing_had_been(whole, tmp_path):
    status, output = run(tmp_path, killed_at=KILLED_AT)
    assert status == -signal.SIGKILL, output
    assert len(steps(tmp_path)) == KILLED_AT - 1
    status, output = run(tmp_path, "--resume")
    assert status == 0, output
    assert "going on after step 6, in epoch 0" in output
    undisturbed, resumed = steps(whole[0]), steps(tmp_path)
    assert samples(resumed.values(), 0) == Counter(SAMPLES)
    assert resumed.keys() == undisturbed.keys()
    for step, line in undisturbed.items():
        assert resumed[step]["samples"] == line["samples"]
        assert resumed[step]["loss"] == pytest.approx(line["loss"], rel=1e-4)


def test_two_processes_share_the_samples_and_go_on_after_a_kill(tmp_path):
    status, output = run(tmp_path, processes=2, killed_at=KILLED_AT)
    assert status != 0, output
    status, output = run(tmp_path, "--resume", processes=2)
    assert status == 0, output
    assert "going on after step 6, in epoch 0" in output
    assert re.search(r"epoch 1: error", output)
    lines = [line for rank in range(2) for line in steps(tmp_path, rank).values()]
    for epoch in (0, 1):
        assert samples(lines, epoch) == Counter(SAMPLES)
