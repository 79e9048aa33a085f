"""Two ranks under Lightning see together what one process sees, and go on from the middle of an epoch."""

import os
from pathlib import Path

import pytest
from lightning.pytorch import Trainer
from test_data_resume import Keep, Noise, Recorder

from ranks import run_on_ranks


def _fit(rank: int, folder: Path, ckpt_path: Path | None) -> tuple[list, list]:
    os.environ.update(LOCAL_RANK=str(rank), NODE_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT="1")  # the group is there already
    module = Recorder("halves")
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        logger=False,
        enable_checkpointing=False,
        callbacks=[] if ckpt_path else [Keep(folder)],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, Noise(batch_size=4), ckpt_path=ckpt_path, weights_only=True)
    return module.seen, module.validated


@pytest.mark.slow
def test_two_ranks_see_what_one_process_sees(tmp_path):
    alone = Recorder("halves")
    trainer = Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.fit(alone, Noise(batch_size=4))

    ranks = run_on_ranks(_fit, 2, tmp_path, None)
    for one, first, second in zip(alone.seen, ranks[0][0], ranks[1][0], strict=True):
        assert one[:2] == first[:2] == second[:2]
        for half in ("train", "valid"):
            assert one[2][half][0] == first[2][half][0] + second[2][half][0]  # which inputs
            assert one[2][half][1] == pytest.approx(first[2][half][1] + second[2][half][1])  # augmented alike
    shared = [first + second for first, second in zip(ranks[0][1], ranks[1][1], strict=True)]
    assert shared == alone.validated

    resumed = run_on_ranks(_fit, 2, tmp_path, tmp_path / "6.ckpt")
    assert [seen for seen, _ in resumed] == [seen[6:] for seen, _ in ranks]
