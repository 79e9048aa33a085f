"""The process that talks to W&B: reads the events of a run from a file until its end, or until the run is gone. Imports no torch."""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATIENCE = 120.0
"""Seconds for the rest of the upload, once the run has ended."""


def main(events: Path, parent: int, mode: str = "") -> None:
    """Ends by itself: at the run's end, when the run's process is gone, or after `PATIENCE` seconds of waiting for a server.

    mode: in place of the run's.
    """
    threading.Thread(target=give_up, args=(events, parent), daemon=True).start()
    lines = follow(events, parent)
    start = next(lines)
    mode = mode or start["mode"]
    try:
        import wandb

        run = begin(wandb, start, events.parent.parent, mode)
    except BaseException as error:
        if mode == "online":
            complain(events, error, "kept offline: ")
            os.execv(sys.executable, [sys.executable, "-m", "robnas.runtime.wandb_process", str(events), str(parent), "offline"])
        complain(events, error, "nothing is kept: ")
        os._exit(1)
    code = 1
    for event in lines:
        if event["kind"] == "end":
            code = event["code"]
            break
        record(wandb, run, event)
    try:
        run.finish(exit_code=code)
        events.unlink(missing_ok=True)
    except BaseException as error:
        complain(events, error)
    os._exit(0)  # whatever W&B has registered for the end of a process may wait for a server


def begin(wandb: Any, start: dict[str, Any], folder: Path, mode: str) -> Any:
    """W&B's run, which takes up one of the same id."""
    settings = wandb.Settings(silent=True, console="off", init_timeout=30, x_disable_stats=True, disable_git=True, save_code=False)
    run = wandb.init(
        mode=mode,
        project=os.environ.get("WANDB_PROJECT", "robnas"),
        group=start["group"],
        name=start["label"] or None,
        id=start["id"],
        dir=str(folder),
        config=start["config"],
        settings=settings,
        **({"resume": "allow"} if mode == "online" else {}),
    )
    run.define_metric("*", step_metric="step")  # W&B's own step may not go back, as it must where a run goes on
    return run


def record(wandb: Any, run: Any, event: dict[str, Any]) -> None:
    """One event; what cannot be recorded is left out."""
    try:
        if event["kind"] == "metrics":
            run.log(event["values"] | {"step": event["step"]})
        elif event["kind"] == "images":
            captions = event["captions"] or [None] * len(event["paths"])
            run.log({event["key"]: [wandb.Image(p, caption=c) for p, c in zip(event["paths"], captions, strict=True)]})
        elif event["kind"] == "table":
            run.log({event["key"]: wandb.Table(columns=event["columns"], data=event["rows"])})
    except Exception as error:
        print(f"{type(error).__name__}: {error}", flush=True)


def follow(events: Path, parent: int, pause: float = 0.1) -> Iterator[dict[str, Any]]:
    """Whole lines as they come; ends when the parent is gone and nothing is left."""
    with events.open(encoding="utf-8") as file:
        rest = ""
        while True:
            alive = os.getppid() == parent
            while line := file.readline():
                rest += line
                if rest.endswith("\n"):
                    yield json.loads(rest)
                    rest = ""
            if not alive:
                return
            time.sleep(pause)


def give_up(events: Path, parent: int) -> None:
    """A thread: the process ends `PATIENCE` seconds after the run, whatever W&B is waiting for."""
    while os.getppid() == parent and not ended(events):
        time.sleep(1)
    time.sleep(PATIENCE)
    os._exit(1)


def ended(events: Path) -> bool:
    """Whether the run has written its last event."""
    try:
        with events.open("rb") as file:
            file.seek(max(0, events.stat().st_size - 100))
            return b'{"kind": "end"' in file.read()
    except OSError:
        return True


def complain(events: Path, error: BaseException, what: str = "") -> None:
    """In a file that the run looks for; renamed, so that it is never seen half written."""
    said = events.with_suffix(".said")
    new = said.with_suffix(".new")
    new.write_text(f"{what}{type(error).__name__}: {' '.join(str(error).split())}", encoding="utf-8")
    new.replace(said)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
