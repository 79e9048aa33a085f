"""Run one function on several gloo ranks of this machine."""

import os
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_on_ranks(function: Callable[..., Any], world_size: int, *args: Any, timeout: float = 120.0) -> list[Any]:
    """`function(rank, *args)` on every rank, one thread each → what each rank returned, in the order of ranks.

    Function, arguments and results must be picklable, so the function stands at the top of its module. The first rank that raises
    ends all of them, and its traceback is raised here as RuntimeError; after `timeout` seconds all are killed: TimeoutError.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ranks = [mp.get_context("spawn").Process(target=_rank, args=(r, function, world_size, folder, args)) for r in range(world_size)]
        end = time.monotonic() + timeout
        try:
            for process in ranks:
                process.start()
            while any(process.is_alive() for process in ranks):
                if time.monotonic() > end:
                    raise TimeoutError(f"{function.__name__} on {world_size} ranks took more than {timeout} s")
                if any(process.exitcode for process in ranks):  # the others may wait for it for ever
                    break
                time.sleep(0.02)
        finally:
            for process in ranks:
                process.kill()
                process.join()
        failures = sorted(folder.glob("*.error"), key=lambda path: path.stat().st_mtime_ns)
        if failures:
            raise RuntimeError(f"rank {failures[0].stem} raised first:\n{failures[0].read_text()}")
        codes = [process.exitcode for process in ranks]
        if any(codes):
            raise RuntimeError(f"ranks ended with exit codes {codes}")
        return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world_size)]


def _rank(rank: int, function: Callable[..., Any], world_size: int, folder: Path, args: tuple[Any, ...]) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # no name look-up: all ranks are on this machine
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world_size, timeout=timedelta(seconds=60))
    try:
        torch.save(function(rank, *args), folder / f"{rank}.pt")
        dist.barrier()
    except BaseException:
        (folder / f"{rank}.error").write_text(traceback.format_exc())
        raise SystemExit(1) from None
    finally:
        dist.destroy_process_group()
