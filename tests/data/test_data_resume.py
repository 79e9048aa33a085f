"""Under Lightning: every checkpoint of a run goes on with exactly the batches that the run would have seen, augmented alike."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from robnas.data import ImageData, Images
from robnas.data.base import Batch


class Noise(ImageData):
    """33 random images to train: four batches of eight or, in halves, of four."""

    name, num_classes, image_shape, class_names = "Noise", 3, (3, 8, 8), ("a", "b", "c")

    def load(self):
        x = torch.randint(0, 256, (41, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        return Images(x[:33], torch.arange(33) % 3), Images(x[33:], torch.arange(8) % 3)


class Recorder(LightningModule):
    def __init__(self, data_split: str) -> None:
        super().__init__()
        self.data_split, self.layer, self.seen, self.validated = data_split, torch.nn.Linear(1, 1), [], []

    def training_step(self, batch, batch_idx):
        parts = batch if isinstance(batch, dict) else {"train": batch}
        record = {k: (b.index.tolist(), float(b.x.double().sum())) for k, b in parts.items()}
        self.seen.append((self.current_epoch, batch_idx, record))
        return self.layer(torch.ones(1)).sum()

    def validation_step(self, batch, batch_idx):
        self.validated.append(batch.index.tolist())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class Keep(Callback):
    """A checkpoint after every step, and at the end of every epoch."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if self.folder:
            trainer.save_checkpoint(self.folder / f"{trainer.global_step}.ckpt")

    def on_train_epoch_end(self, trainer, module):
        if self.folder:
            trainer.save_checkpoint(self.folder / f"{trainer.global_step}-epoch.ckpt")


def run(split: str, num_workers: int, folder: Path | None = None, ckpt_path: Path | None = None) -> Recorder:
    module, data = Recorder(split), Noise(batch_size=4 if split == "halves" else 8, validation=0.0, num_workers=num_workers)
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        callbacks=[Keep(folder)],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
    return module


@pytest.mark.parametrize("split", ["halves", "whole"])
def test_from_every_checkpoint_the_same_batches_follow(tmp_path, split):
    whole = run(split, 0, tmp_path).seen
    assert [(epoch, step) for epoch, step, _ in whole] == [(e, s) for e in range(2) for s in range(4)]
    indices = [[i for _, _, r in whole[4 * e : 4 * e + 4] for b in r.values() for i in b[0]] for e in range(2)]
    assert indices[0] != indices[1]
    assert all(len(set(epoch)) == 32 for epoch in indices)
    checkpoints = list(tmp_path.glob("*.ckpt"))
    assert len(checkpoints) == 10
    for checkpoint in checkpoints:
        step = int(checkpoint.stem.removesuffix("-epoch"))
        assert run(split, 0, ckpt_path=checkpoint).seen == whole[step:], checkpoint.stem


def test_worker_processes_change_nothing(tmp_path):
    whole = run("halves", 0).seen
    assert run("halves", 2, tmp_path).seen == whole
    assert run("halves", 2, ckpt_path=tmp_path / "6.ckpt").seen == whole[6:]


def test_evaluation_loops_give_floats_of_the_whole_test_set_in_order(tmp_path):
    seen: list[Batch] = []

    class Evaluated(Recorder):
        def test_step(self, batch, batch_idx):
            seen.append(batch)
            return batch.y

        predict_step = test_step

    data = Noise(batch_size=3)
    for loop in ("test", "predict"):
        seen.clear()
        trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)
        getattr(trainer, loop)(Evaluated("whole"), data)
        assert torch.equal(torch.cat([batch.x for batch in seen]), data.sets()[1].x / 255)
        assert [batch.index.tolist() for batch in seen] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert next(iter(data.test_dataloader())).x.dtype == torch.float32  # the run is over: floats
