"""The rule that needs Lightning: an attack as a callback of `Trainer.test`, and the rows that it writes."""

from __future__ import annotations

import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from robnas.results import Row, Rows
from robnas.testing.subjects import Network, images
from robnas.testing.trial import Trial, ask


class Task(LightningModule):
    """A model, and a test step that does nothing."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> Any:
        """x: [B, C, H, W] → [B, m]."""
        return self.model(x)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Nothing: the callback attacks."""


def works_in_a_test_loop(trial: Trial) -> None:
    """Rows come out that a file of results takes and gives back, and they say what a call says."""
    model, x = Network(), images(20)
    y, index = model.plainly(x).argmax(1), torch.arange(20)
    for inference_mode in (True, False):
        attack = trial.build()
        rows, back = run(attack, model, DataLoader(TensorDataset(x, y, index), batch_size=8), inference_mode)
        assert rows, "wrote no rows in a test loop: `proportions` or `numbers` says which there are"
        assert [json.loads(r.to_json()) for r in rows] == [json.loads(r.to_json()) for r in back], "its rows do not come back from a file"
        plain = {str(value) for row in rows for value in _strangers(row.params)}
        assert not plain, f"rows cannot say an argument: {', '.join(plain)[:200]}; `arguments` gives numbers, text, lists and dicts"
        for row in rows:
            assert row.n is not None, f"row {row.metric} does not say of how many inputs it is (`n`)"
            assert (row.value is None) == (row.n == 0), f"row {row.metric}: value {row.value} of {row.n} inputs"
    found = ask(trial.build(), model, x, y, index)
    if not trial.one_result:
        return
    r, asr = found[0].result, next((row for row in rows if row.metric == "asr" and row.params == rows[-1].params), None)
    if asr is not None and asr.n:
        share = float(r.success.double().sum()) / int((r.eligible & ~r.errored).sum())
        assert abs((asr.value or 0.0) - share) < 1e-9, f"its row says ASR {asr.value}, a call {share}"
        assert asr.queries == int(r.queries.sum()), f"its row says {asr.queries} queries, a call {int(r.queries.sum())}"


def run(attack: Any, model: nn.Module, data: DataLoader[Any], inference_mode: bool) -> tuple[tuple[Row, ...], list[Row]]:
    """One test loop, in a folder that goes away → its rows, and those of its file."""
    with tempfile.TemporaryDirectory() as folder, _silent():
        quiet: dict[str, Any] = {
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
        }
        trainer: Any = Trainer(
            default_root_dir=folder, callbacks=[attack], accelerator="cpu", devices=1, inference_mode=inference_mode, **quiet
        )
        trainer.rows = Rows(Path(folder) / "results.jsonl")
        trainer.test(Task(model), data, verbose=False)
        return attack.rows, trainer.rows.read()


def _strangers(value: Any) -> Iterator[Any]:
    """What is no plain value in params."""
    if isinstance(value, dict):
        for one in value.values():
            yield from _strangers(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _strangers(one)
    elif value is not None and not isinstance(value, bool | int | float | str):
        yield value


@contextmanager
def _silent() -> Iterator[None]:
    """Without Lightning's greetings, and what the attack tells whoever watches."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
