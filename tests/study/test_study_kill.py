"""Kills at any moment change nothing."""

import json
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

MINUTE = """
study: minute
overlays: [digits.yaml]
flags: {data.members: 0.5, data.augment: false, trainer.max_epochs: 2}
searches:
  found: {config: darts.yaml, flags: {trainer.max_epochs: 2}}
models: {darts: , resnet: , own: {search: found}}
trainings:
  clean: {config: [classify.yaml, convergence.yaml]}
attacks:
  pgd: {config: pgd.yaml, flags: {attacks.pgd.max_inputs: 40, attacks.pgd_most: null, attacks.pgd_least: null, attacks.unbounded: null}}
  common: {config: pgd/common.yaml, together: true, flags: {attacks.common.max_inputs: 40, attacks.common_least: null}}
  flip: {config: label_flip.yaml, flags: {attacks.label_flip.clean: "{run}"}}
  steal: {config: knockoff.yaml, shift_seed: 100, flags: {attacks.knockoff.victim: "{run}", attacks.knockoff.budget: 100}}
"""


def _study(folder):
    words = [sys.executable, "-m", "robnas", "study", "minute.yaml", "--out", "out"]
    return subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _rows(folder):
    """All rows as they are, but for times."""
    found = []
    for file in sorted((folder / "out").glob("*/*/results.jsonl")):
        if not file.parent.is_symlink():
            rows = [json.loads(line) for line in file.read_text().splitlines()]
            timeless = [row | {"seconds": None} for row in rows if row["metric"] != "seconds" and "seconds" not in row["metric"]]
            found += [(file.parent.name, json.dumps(row, sort_keys=True)) for row in timeless]
    return sorted(found)


def _starts(folder):
    """Command → how often it was begun."""
    logs = (folder / "out" / ".pool").glob("*.log")
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines() if line.startswith("$ robnas ")]
    return {line.split("--ckpt_path")[0].strip(): lines.count(line) for line in lines}


def _done(folder):
    return {f"$ robnas {' '.join(json.loads(note.read_text())['argv'])}" for note in (folder / "out" / ".pool").glob("*.done")}


@pytest.mark.slow
def test_killed_at_twenty_random_moments_its_rows_are_the_same_and_nothing_is_done_twice(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        (folder / "minute.yaml").write_text(MINUTE)
    began = time.monotonic()
    assert _study(whole).wait() == 0
    took, moments = time.monotonic() - began, random.Random(0)
    before = {}
    for _ in range(20):
        done = {command: _starts(killed).get(command, 0) for command in _done(killed)}
        process = _study(killed)
        with suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0, 0.4 * took))
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.5)  # its workers end with it
        starts = _starts(killed)
        assert {command: starts[command] for command in done} == done
        before |= done
    assert _study(killed).wait() == 0
    assert {command: _starts(killed)[command] for command in before} == before
    assert _rows(killed) == _rows(whole)
    assert len(_rows(whole)) > 50
