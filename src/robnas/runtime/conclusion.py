"""What a command says at its end: how good a trained model is and what to do with it next, and the tables of attacks and probes."""

import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console

from robnas.attacks import across, summary
from robnas.attacks.training import said
from robnas.probes import summary as probed
from robnas.probes.base import Probe
from robnas.results import Row, Rows
from robnas.runtime.trainer import Trainer


def of_fit(trainer: Trainer, tested: Row | None, evaluations: Iterable[Any]) -> None:
    """tested: its accuracy on the test images, None where it was not tested; evaluations: attacks, defences and probes of it."""
    if not tested or not tested.ci:
        return
    low, high = (100 * bound for bound in tested.ci)
    print(f"test accuracy {100 * (tested.value or 0):.1f}% (95% interval {low:.1f} to {high:.1f}, n = {tested.n})")
    measured = []
    for evaluation in evaluations:
        for row in getattr(evaluation, "rows", ()):
            if isinstance(evaluation, Probe):
                measured.append((evaluation.name, row))
            else:
                print(said(evaluation.name, row))
    probed.show(measured, _console())
    print(f"next: robnas attack {shlex.quote(str(trainer.default_root_dir))} --config pgd.yaml", flush=True)


def of_evaluations(rows: Sequence[tuple[Rows, Row]], measured: Sequence[tuple[str, Row]]) -> None:
    """rows: of all victims, each with the rows that it was written among; measured: (name of a probe, its row)."""
    console = _console()
    summary.show((row for _, row in rows), console)
    across.show(rows, console)
    probed.show(measured, console)


def _console() -> Console:
    """A file or a pipe has no width of its own."""
    return Console() if Console().is_terminal else Console(width=100)
