"""Lightning's Trainer with two verbs more, and everything that makes a run reproducible plugged in."""

import logging
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch import Trainer as LightningTrainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.plugins import CheckpointIO
from torch import nn

from robnas.models.load import load
from robnas.runtime.checkpoint_io import AtomicCheckpointIO
from robnas.runtime.checkpoints import Checkpoints
from robnas.runtime.children import Children
from robnas.runtime.clean_twin import clean_twin
from robnas.runtime.finite import FiniteLoss
from robnas.runtime.half_epoch import HalfEpoch
from robnas.runtime.membership import KeepMembership
from robnas.runtime.progress import progress
from robnas.runtime.step_seed import StepSeed

if TYPE_CHECKING:
    from robnas.results import Row, Rows

_HUSH = (
    "💡 Tip",
    "GPU available",
    "TPU available",
    "HPU available",
    "IPU available",
    "`Trainer.fit` stopped",
    "Restoring states from",
    "Loaded model weights from",
    "The following callbacks returned in `LightningModule.configure_callbacks` will override",
    "`Trainer(limit_",
    "`Trainer(val_check_interval",
    "`Trainer(overfit_batches",
    "Initializing distributed",
    "distributed_backend=",
    "All distributed processes registered",
    "-" * 20,  # the banner around it
)
_SPEAKERS = (  # a filter sees what its own logger says, and nothing of those below
    "lightning.pytorch",
    "lightning.fabric",
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.rank_zero",
    "lightning.fabric.utilities.distributed",
)
_NOISE = (
    ".*does not have many workers.*",
    ".*smaller than the logging interval.*",
    ".*exists and is not empty.*",
    ".*`sync_dist=True`.* when logging on epoch level.*",
    ".*litlogger.*",
    ".*callbacks used to create the checkpoint need to be provided.*",  # an attack or a probe does not need those of the training
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
)


class Trainer(LightningTrainer):
    """Checkpoints are atomic, steps are seeded, a kill in mid-epoch changes nothing, a NaN stops the run, metrics go on where they were.

    Args:
        callbacks: yours come before ours.
        plugins: a checkpoint plug-in among them takes the place of ours.
        enable_progress_bar: one line an epoch, and a bar on a terminal; False: neither.
        enable_model_summary: a table of the modules; `robnas cell` says more of an architecture.
        enable_checkpointing: False: no checkpoints, for tries.
        use_distributed_sampler: robnas's data cut their batches by rank themselves, the same for every number of ranks.
        log_every_n_steps: between two rows of metrics.csv within an epoch.
        save_every_n_steps: a checkpoint in mid-epoch, each time so many batches are through; 0: at the epochs' ends alone.
    """

    def __init__(
        self,
        *,
        callbacks: list[Callback] | Callback | None = None,
        plugins: Any = None,
        enable_progress_bar: bool | None = None,
        enable_model_summary: bool = False,
        enable_checkpointing: bool | None = None,
        use_distributed_sampler: bool = False,
        log_every_n_steps: int | None = 50,
        save_every_n_steps: int = 0,
        **kwargs: Any,
    ) -> None:
        quiet()
        barebones = bool(kwargs.get("barebones"))
        given = _list(callbacks)
        if not barebones:
            given = [*([] if _has(given, StepSeed) else [StepSeed()]), *given, HalfEpoch(), FiniteLoss(), KeepMembership()]
            given += [] if _has(given, Children) else [Children()]
            if enable_checkpointing is not False and not _has(given, Checkpoints):
                given.append(Checkpoints(save_every_n_steps=save_every_n_steps))
            if enable_progress_bar is not False and not _has(given, ProgressBar):
                given.append(progress())
        plugged = _list(plugins)
        if not _has(plugged, CheckpointIO):
            plugged.append(AtomicCheckpointIO())
        super().__init__(
            callbacks=given,
            plugins=plugged,
            enable_progress_bar=enable_progress_bar,
            enable_model_summary=enable_model_summary,
            enable_checkpointing=enable_checkpointing,
            use_distributed_sampler=use_distributed_sampler,
            log_every_n_steps=0 if barebones else log_every_n_steps,
            **kwargs,
        )
        self.config: dict[str, Any] = {}
        """The run's resolved configuration, in plain values, where it has one."""
        self.provenance: dict[str, Any] = {}
        """What every row of this run says beside its number: job, dataset, model, seeds, protocol, commit…"""
        self.runs: tuple[str, ...] = ()
        """The run folders that one command evaluates, this one's among them, as the command names them."""
        self._rows: Rows | None = None

    @staticmethod
    def load(source: str | Path) -> nn.Module:
        """Another model, for an attack that needs several (shadows, targets of a transfer): as `robnas.load`."""
        return load(source)

    def _run_stage(self) -> Any:
        """Lightning leaves `on_train_start` and `on_train_end` out where a run goes on from its very last checkpoint. But what comes at the
        end of a training, such as that weights become their average, or that a probe looks, may be what a kill has cut off.
        """
        before = self._through()
        found = super()._run_stage()
        if self.training and self.ckpt_path is not None and any(before) and self._through() == before:
            self.fit_loop.on_run_start()
            self.fit_loop.on_run_end()
        return found

    def _through(self) -> tuple[int, int]:
        """Epochs and steps."""
        return self.fit_loop.epoch_progress.current.processed, self.fit_loop.epoch_loop.total_batch_idx + 1  # type: ignore[attr-defined]

    @property
    def jobs(self) -> Children | None:
        """Runs robnas commands side by side, in processes that stay warm until this trainer's verb ends; a barebones trainer has none."""
        return next((c for c in self.callbacks if isinstance(c, Children)), None)

    def clean_twin(self) -> Path:
        """The run folder of the same training without its attacks, trained as a job if it was not yet."""
        return clean_twin(self)

    @property
    def rows(self) -> "Rows":
        """Where attacks and probes put their rows: `results.jsonl` in the run folder."""
        if self._rows is None:
            from robnas.results import Rows

            self._rows = Rows(Path(self.default_root_dir) / "results.jsonl")
        return self._rows

    @rows.setter
    def rows(self, rows: "Rows") -> None:
        self._rows = rows

    def attack(
        self, model: LightningModule, datamodule: LightningDataModule | None = None, ckpt_path: str | None = None
    ) -> tuple["Row", ...]:
        """Evaluate a trained model under attack: every attack among the callbacks, on the test data. Returns all their rows.

        Args:
            model: what is attacked: pixels in [0, 1] → logits.
            datamodule: its test set is attacked.
            ckpt_path: checkpoint of the weights; the model's own weights if not given.
        """
        return self._evaluate(model, datamodule, ckpt_path, without="robnas.probes")

    def probe(
        self, model: LightningModule, datamodule: LightningDataModule | None = None, ckpt_path: str | None = None
    ) -> tuple["Row", ...]:
        """Measure a trained model: every probe among the callbacks, on the test data. Returns all their rows.

        Args:
            model: what is measured.
            datamodule: the data it is measured on.
            ckpt_path: checkpoint of the weights; the model's own weights if not given.
        """
        return self._evaluate(model, datamodule, ckpt_path, without="robnas.attacks")

    def _evaluate(
        self, model: LightningModule, datamodule: LightningDataModule | None, ckpt_path: str | None, without: str
    ) -> tuple["Row", ...]:
        """The test loop with gradients to be had, less the callbacks of the other verb (their base class stands in `without`)."""
        callbacks: list[Callback] = self.callbacks  # type: ignore[has-type]
        inference_mode = self.test_loop.inference_mode
        self.callbacks = own = [c for c in callbacks if not any(base.__module__.startswith(without) for base in type(c).__mro__)]
        self.test_loop.inference_mode = False
        try:
            self.test(model, datamodule=datamodule, ckpt_path=ckpt_path, verbose=False)
        finally:
            self.callbacks, self.test_loop.inference_mode = callbacks, inference_mode
        return tuple(row for callback in own for row in getattr(callback, "rows", ()))


def quiet() -> None:
    """Lightning's advertisements, and its advice that does not apply to data in memory."""
    for name in _SPEAKERS:
        logger = logging.getLogger(name)
        if _hush not in logger.filters:
            logger.addFilter(_hush)
    for message in _NOISE:
        warnings.filterwarnings("ignore", message=message)


def _hush(record: logging.LogRecord) -> bool:
    return not record.getMessage().lstrip().startswith(_HUSH)


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]


def _has(values: list[Any], kind: type) -> bool:
    return any(isinstance(v, kind) for v in values)
