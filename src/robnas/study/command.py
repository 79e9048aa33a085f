"""`robnas study FILE`: plans, runs or goes on with every job of a study, and writes its report. Imports no torch."""

import shlex
import signal
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import yaml
from rich.console import Console

from robnas import atomic, locks
from robnas.configuration.reading import read_value
from robnas.errors import UserError, require, short
from robnas.study import cells, dry_run, file, graph, preflight
from robnas.study.blocks import Study
from robnas.study.costs import measured_in
from robnas.study.courier import Courier
from robnas.study.executor import Executor
from robnas.study.local import local
from robnas.study.plan import NAME, Plan
from robnas.study.progress import Shown, spoken
from robnas.study.run import Running
from robnas.words import Parser

EXECUTORS = ("local", "ray")


def main(words: list[str]) -> int:
    """Exit status: 1 where a job failed, 130 where it was interrupted. Raises UserError."""
    parser = Parser(
        "robnas study", description="Every job of a study file: search, train, attack and probe, report. What is done is skipped."
    )
    parser.add_argument("file", metavar="FILE", help="a study file, or a shipped one by its name (robnas list studies)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the study's folder (default: runs/<name of the study>)")
    parser.add_argument("--executor", choices=EXECUTORS, default="local", help="where jobs run: this machine, or a Ray cluster")
    parser.add_argument("--workers", type=int, metavar="N", help="jobs at a time (default: one a GPU, else one a core)")
    parser.add_argument("--gpus", type=float, metavar="SHARE", help="with ray: of a GPU, for each job (default: 0, jobs on CPUs)")
    parser.add_argument(
        "--ray-address",
        "--address",
        dest="address",
        metavar="HOST:PORT",
        help="with ray: of the cluster (default: RAY_ADDRESS, else one on this machine)",
    )
    parser.add_argument("--store", metavar="URI", help="with ray: where run folders come and go, if nodes share no file system")
    parser.add_argument("--dry-run", action="store_true", help="print the graph, its size and its cost; do nothing")
    parser.add_argument("--jobs", action="store_true", help="with --dry-run: each command, too")
    parser.add_argument("--wandb", choices=("off", "offline", "online"), default="off", help="Weights & Biases of every job (default: off)")
    options = parser.parse_args(words)
    require(options.dry_run or not options.jobs, "study: --jobs belongs to --dry-run")
    study = file.read(file.find(options.file))
    folder = (options.out or Path("runs") / study.name).expanduser()
    _check(options, folder)
    plan = graph.plan(study, options.file, folder, time.strftime("%Y-%m-%dT%H:%M:%S%z"), options.wandb)
    if options.dry_run:
        running = Running(plan, folder)
        running.find_done(write=False)
        done = sum(job.state == "done" for job in plan.jobs)
        print("\n".join(dry_run.lines(plan, measured_in(folder), done, options.jobs)))
        return 0
    executor = _executor(options, folder, study.threads)
    _is_ours(study, folder)
    try:
        with terminated_is_interrupted():
            return run(study, plan, folder, executor)
    except KeyboardInterrupt:
        print(f"robnas: stopped; the same command goes on: robnas study {shlex.join(words)}", file=sys.stderr)
        return 130
    finally:
        locks.release(folder)


def run(study: Study, plan: Plan, folder: Path, executor: Executor) -> int:
    """All jobs, then the report → exit status."""
    console, began = Console(stderr=True), time.monotonic()
    running = Running(plan, folder)
    running.find_done(write=False)
    todo = bool(cells.different(study, folder)) or any(job.state != "done" for job in plan.jobs)
    checked = preflight.check(plan.jobs, folder) if todo else ""
    # a cluster that is not there is said before anything is written; one that is there has taken SIGTERM for its own
    with executor if todo else nullcontext(), terminated_is_interrupted():
        _claim(study, folder)
        preflight.remember(folder, checked)
        running.find_done(anew=True)
        done = sum(job.state == "done" for job in plan.jobs)
        said = [f"{done} of {len(plan.jobs)} jobs were done before"] if done else []
        for line in [*said, *dry_run.once(plan)]:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        if done < len(plan.jobs):
            with Shown(plan.jobs, executor.slots, console) as shown:
                running.told = shown.update
                running.run(executor)
    lost = [job for job in plan.jobs if job.state != "done"]
    for job in lost:
        print(f"robnas: {job.id} {job.state}: {job.error}" + (f"; log: {folder / job.log}" if job.log else ""), file=sys.stderr)
    _report(folder)
    print(f"{len(plan.jobs) - len(lost)} of {len(plan.jobs)} jobs done, {spoken(time.monotonic() - began)}")
    return 1 if lost else 0


@contextmanager
def terminated_is_interrupted() -> Iterator[None]:
    """SIGTERM, by which a scheduler or a container ends a process, is to this one what Ctrl-C is."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _check(options: Namespace, folder: Path) -> None:
    """Flags that a dry run does not need, too. Raises UserError."""
    require(options.workers is None or options.workers >= 1, f"--workers: {options.workers} is not at least 1")
    require(options.gpus is None or 0 <= options.gpus <= 1, f"--gpus: {options.gpus} is not in [0, 1]: the share of a GPU for each job")
    if options.executor == "local":
        for flag in ("address", "store", "gpus"):
            require(getattr(options, flag) is None, f"--{'ray-address' if flag == 'address' else flag} belongs to --executor ray")
    elif options.store is not None and options.dry_run:
        Courier(options.store, folder)  # as the executor does
    require(not folder.exists() or folder.is_dir(), f"--out: {folder} is a file; a study has a folder")
    read = read_value(str(folder))
    require(str(read) == str(folder), f"--out: {str(folder)!r} is {short(read)} in YAML, as which jobs would read it; give it another name")


def _is_ours(study: Study, folder: Path) -> None:
    """Raises UserError where the folder is another study's, or nobody can tell."""
    try:
        there = Plan.read(folder)
    except UserError as error:
        raise UserError(f"{error}; remove the file, and the same command goes on: what is done stands elsewhere, too") from error
    other = there is not None and there.study != study.name
    require(not other, f"--out: {folder} holds the study {there.study if there else ''!r}; {study.name!r} needs a folder of its own")


def _claim(study: Study, folder: Path) -> None:
    """The folder is this process's. Raises UserError where somebody works there."""
    try:
        locks.acquire(folder)
    except UserError as error:
        raise UserError(str(error).replace("--runs", "--out")) from error
    cells.write(study, folder)
    text = yaml.safe_dump(dict(study.source), sort_keys=False, allow_unicode=True, width=140)
    atomic.write(folder / "study.yaml", f"# The study of this folder, as it was read; {NAME} has its jobs.\n{text}")


def _executor(options: Namespace, folder: Path, threads: int) -> Executor:
    if options.executor == "local":
        return local(folder, options.workers, threads)
    from robnas.study.ray_executor import RayExecutor  # says itself what to install where there is no Ray

    return RayExecutor(folder / ".pool", options.workers, threads, gpus=options.gpus or 0.0, address=options.address, store=options.store)


def _report(folder: Path) -> None:
    """The page; that there is nothing to show yet ends nothing."""
    from robnas.report.pictures import Pictures
    from robnas.report.write import report

    try:
        with Pictures() as pictures:
            written = report(folder, pictures=pictures)[0]
        print(f"report: {written}")
    except UserError as error:
        print(f"robnas: no report: {error}", file=sys.stderr)
