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


def main(events: Path, parent: int) -> None:
    """Ends by itself: at the run's end, when the run's process is gone, or after `PATIENCE` seconds of waiting for a server."""
    lines = follow(events, parent)
    start = next(lines)
    try:
        import wandb

        run = begin(wandb, start, events.parent.parent, events.with_suffix(".said"))
        code = 1
        for event in lines:
            if event["kind"] == "end":
                code = event["code"]
                break
            record(wandb, run, event)
        timer = threading.Timer(PATIENCE, os._exit, (1,))
        timer.daemon = True
        timer.start()
        run.finish(exit_code=code)
        events.unlink(missing_ok=True)
    except BaseException as error:
        complain(events.with_suffix(".said"), error)
    sys.stdout.flush()
    os._exit(0)  # whatever W&B has registered for the end of the process may wait for a server


def begin(wandb: Any, start: dict[str, Any], folder: Path, said: Path) -> Any:
    """Online where that is wanted and works, else offline, with a word about it."""
    settings = wandb.Settings(silent=True, console="off", init_timeout=30, x_disable_stats=True, disable_git=True, save_code=False)
    arguments = {
        "project": os.environ.get("WANDB_PROJECT", "robnas"),
        "group": start["group"],
        "name": start["label"] or None,
        "id": start["id"],
        "dir": str(folder),
        "config": start["config"],
        "settings": settings,
    }
    if start["mode"] == "online":
        try:
            return wandb.init(mode="online", resume="allow", **arguments)
        except BaseException as error:
            complain(said, error, "not online, kept offline instead: ")
    return wandb.init(mode="offline", **arguments)


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


def complain(said: Path, error: BaseException, what: str = "") -> None:
    """In a file that the run looks for; renamed, so that it is never seen half written."""
    new = said.with_suffix(".new")
    new.write_text(f"{what}{type(error).__name__}: {' '.join(str(error).split())}", encoding="utf-8")
    new.replace(said)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
