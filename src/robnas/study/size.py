"""Whether a job is smaller than the paper's."""

from collections.abc import Iterable, Mapping
from typing import Any

from robnas.study import layers
from robnas.study.queries import number

AT_THE_PAPERS_SIZE = ("cifar10", "cifar100", "imagenet32")
SMALLER = {
    *("max_epochs", "max_steps", "max_time", "limit_train_batches", "limit_val_batches", "limit_test_batches", "overfit_batches"),
    *("layers", "init_channels", "n_blocks", "max_inputs", "n_samples", "points", "n_queries", "n_restarts", "n_targets", "steps"),
    *("initial_evaluations", "max_evaluations", "copies", "n_shadows", "fast_dev_run"),
}
"""Last part of a flag's name that makes a job another one than the paper's where it says less than the configs do. Not what a study asks
about on purpose: shares, rates and budgets; half of the training set is what membership and stealing need."""


def is_smaller(flags: Mapping[str, Any], configs: Iterable[str]) -> bool:
    """Whether flags make it so: a scale, or less of something than its configs say."""
    config = layers.laid(tuple(configs))
    return any(name == "scale" or _is_less(name, value, config) for name, value in flags.items())


def _is_less(name: str, value: Any, config: Mapping[str, Any]) -> bool:
    if isinstance(value, Mapping):
        return any(_is_less(f"{name}.{key}", inner, config) for key, inner in value.items())
    if name.rpartition(".")[2] not in SMALLER or value is None:
        return False
    there = layers.said(config, name)
    return there is None or number(value, 0.0) < number(there, 0.0)
