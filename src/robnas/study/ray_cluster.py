"""A Ray cluster: the one that an address names, else one on this machine. Ray is imported where it is used and nowhere else."""

import importlib
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from robnas.errors import UserError, require

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_COLOR_PREFIX": "0"}
"""No statistics to its makers unless the user says so; a worker without a GPU is told so by us, so Ray need not warn how it would do it."""

MEMORY = 100 << 20
"""Bytes for objects in a cluster of our own: what passes through it is commands and logs."""


TRIES = 3
"""How often a cluster of our own is begun before that is an error."""


def load() -> Any:
    """The module. Raises UserError where it is not installed."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise UserError("--executor ray needs Ray: pip install 'robnas[ray]'") from error


def connect(ray: Any, address: str | None, cores: int) -> bool:
    """Join the cluster at `address`, else at RAY_ADDRESS, else begin one on this machine with `cores` CPUs at least → whether this process
    was in none before, so that it has to leave it in the end.

    Raises:
        UserError: there is none at that address.
    """
    if ray.is_initialized():
        return False
    address = address or os.environ.get("RAY_ADDRESS") or None
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        for attempt in range(TRIES):
            try:
                ray.init("local", num_cpus=max(os.cpu_count() or 1, cores), object_store_memory=MEMORY, include_dashboard=False, **quiet)
                return True
            except Exception as error:  # a plain Exception where a busy machine takes more than the 30 s that Ray waits
                ray.shutdown()
                if attempt + 1 == TRIES:
                    raise UserError(f"--executor ray: no cluster began on this machine: {' '.join(str(error).split())[:200]}") from error
    try:
        _listens(str(address))
        ray.init(address, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"--ray-address {address}: no Ray cluster answers there: {' '.join(str(error).split())[:200]}") from error
    return True


def _listens(address: str) -> None:
    """Raises OSError where nobody does: Ray itself goes on trying for a quarter of an hour. Of a name such as "auto" it says so at once."""
    host, _, port = address.rpartition(":")
    if port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def room(nodes: Sequence[Mapping[str, float]], workers: int | None, threads: int | None, gpus: float) -> tuple[int, int]:
    """Workers at a time, and CPUs of each.

    Args:
        nodes: "CPU" and "GPU" of each.
        workers: as asked for; None: as many as there is room for.
        threads: CPUs of a worker; None: its share of them where `workers` was asked for, else 1.
        gpus: of a worker.

    Raises:
        UserError: there is no room for even one.
    """
    fit = [node for node in nodes if node.get("GPU", 0) >= gpus and node.get("CPU", 0) >= 1]
    if not fit:
        found = "; ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes)
        raise UserError(f"no node of the Ray cluster has a CPU and {gpus:g} GPUs for a job: {found or 'there is none'}")
    most = int(max(node["CPU"] for node in fit))
    if threads is None:
        share = sum(int(node["CPU"]) for node in fit) // workers if workers else 1
        threads = max(1, min(share, most))
    require(threads <= most, f"threads: {threads} are more than the {most} CPUs of the Ray cluster's largest node")
    return workers or sum(int(min(node["CPU"] / threads, node["GPU"] / gpus if gpus else node["CPU"])) for node in fit), threads
