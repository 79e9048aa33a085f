"""Splits, loaders and the way to the device, without a Trainer and inside one."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerStatus
from lightning.pytorch.utilities import CombinedLoader

from robnas.data import Batch, Digits, ImageData, Images, augmentation
from robnas.data.base import channel_statistics
from robnas.errors import UserError


class Dots(ImageData):
    """41 to train, 10 to test; the red value is the number of the image."""

    name, num_classes, image_shape, class_names = "Dots", 3, (3, 8, 8), ("a", "b", "c")

    def load(self):
        x = torch.arange(51, dtype=torch.uint8)[:, None, None, None].repeat(1, 3, 8, 8)
        x[:, 1:] = torch.tensor([10, 200], dtype=torch.uint8)[:, None, None]
        return Images(x[:41], torch.arange(41) % 3), Images(x[41:], torch.arange(10) % 3)


def running(data: ImageData, training: bool = True, halves: bool = False, rank: int = 0, ranks: int = 1, **module) -> ImageData:
    """`data` as inside a run."""
    module = SimpleNamespace(dtype=torch.float32, data_split="halves" if halves else "train") if not module else SimpleNamespace(**module)
    data.trainer = SimpleNamespace(
        state=SimpleNamespace(status=TrainerStatus.RUNNING),
        lightning_module=module,
        training=training,
        current_epoch=3,
        global_rank=rank,
        world_size=ranks,
    )
    return data


def test_validation_is_held_out_of_training_and_test_is_apart():
    data = Dots(batch_size=4, validation=0.25)
    trained = {i for batch in data.train_dataloader() for i in batch.index.tolist()}
    validated = [i for batch in data.val_dataloader() for i in batch.index.tolist()]
    kept, held = data.parts()
    assert validated == held.tolist() == sorted(validated)
    assert trained <= set(kept.tolist())
    assert set(kept.tolist()) | set(validated) == set(range(41))
    assert not set(kept.tolist()) & set(validated)
    assert len(validated) == 10
    assert Dots(validation=0.0).val_dataloader() == []


def test_halves_are_disjoint_and_of_the_whole_training_set():
    first, second = Dots(validation=0.5).halves()  # search leaves nothing out but one of an odd number
    assert len(first) == len(second) == 20
    assert not set(first.tolist()) & set(second.tolist())


def test_a_search_is_given_both_halves_and_validates_on_the_second():
    data = running(Dots(batch_size=4), halves=True)
    combined = data.train_dataloader()
    assert isinstance(combined, CombinedLoader)
    batches = [batch for batch, _, _ in combined]
    assert [set(batch) for batch in batches] == [{"train", "valid"}] * 5
    for name, half in zip(("train", "valid"), data.halves(), strict=True):
        assert sorted(i for batch in batches for i in batch[name].index.tolist()) == half.tolist()
    places = [
        [half.tolist().index(i) for b in batches for i in b[k].index.tolist()] for k, half in zip(batches[0], data.halves(), strict=True)
    ]
    assert places[0] != places[1]  # each in an order of its own
    assert [i for batch in data.val_dataloader() for i in batch.index.tolist()] == data.halves()[1].tolist()


def test_ranks_share_the_global_batch():
    whole = [batch.index.tolist() for batch in running(Dots(batch_size=4)).train_dataloader()]
    parts = [[b.index.tolist() for b in running(Dots(batch_size=4), rank=r, ranks=2).train_dataloader()] for r in (0, 1)]
    assert [first + second for first, second in zip(*parts, strict=True)] == whole
    with pytest.raises(UserError, match="batch_size: 5 cannot be shared equally by 2 ranks"):
        running(Dots(batch_size=5), ranks=2).train_dataloader()


def test_without_a_trainer_loaders_give_floats_as_they_are():
    batch = next(iter(Dots(batch_size=4).test_dataloader()))
    assert isinstance(batch, Batch)
    assert batch.index.tolist() == [0, 1, 2, 3]
    assert torch.equal(batch.x[:, 0, 0, 0], torch.tensor([41, 42, 43, 44]) / 255)
    train = next(iter(Dots(batch_size=4).train_dataloader()))
    assert torch.equal(train.x[:, 0], (train.index[:, None, None] / 255).expand(4, 8, 8))  # not augmented


def test_in_a_run_bytes_travel_and_become_floats_in_the_model_s_precision():
    data = running(Dots(batch_size=4), training=False, dtype=torch.float64)
    batch = next(iter(data.test_dataloader()))
    assert batch.x.dtype == torch.uint8
    moved = data.on_after_batch_transfer(batch, 0)
    assert moved.x.dtype == torch.float64
    assert torch.equal(moved.x, batch.x.double() / 255)
    assert torch.equal(data.on_after_batch_transfer({"train": batch}, 0)["train"].x, moved.x)
    assert data.on_after_batch_transfer("not images", 0) == "not images"


def test_training_batches_are_augmented_by_seed_epoch_and_index():
    data = running(Dots(batch_size=8, seed=5))
    batch = data.sets()[0].__getitems__(torch.tensor([3, 9]))
    moved = data.on_after_batch_transfer(batch, 0)
    assert torch.equal(moved.x, data.augmented(batch, epoch=3).x)
    alone = data.sets()[0].__getitems__(torch.tensor([9]))
    assert torch.equal(data.on_after_batch_transfer(alone, 0).x, moved.x[1:])
    painted = (moved.x == torch.tensor(data.mean)[:, None, None]).all(1)
    assert painted.flatten(1).sum(1).min() >= 4  # the square has the mean's colour: zero once normalised
    data.augment = False
    assert torch.equal(data.on_after_batch_transfer(batch, 0).x, batch.x / 255)


@pytest.mark.parametrize("step", ["crop", "flip", "cutout"])
def test_each_step_is_drawn_anew_in_every_epoch(step, monkeypatch):
    for other in {"crop", "flip", "cutout"} - {step}:
        monkeypatch.setattr(augmentation, other, lambda x, *args: x)
    data = Dots()
    batch = data.sets()[0].__getitems__(torch.arange(41))
    batch = batch._replace(x=torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).repeat(41, 3, 1, 1))
    assert torch.equal(data.augmented(batch, 0).x, data.augmented(batch, 0).x)
    assert not torch.equal(data.augmented(batch, 0).x, data.augmented(batch, 1).x)
    assert not torch.equal(data.augmented(batch, 0).x, batch.x / 255)


def test_mean_and_deviation_are_the_training_set_s():
    data = Dots()
    data.setup()
    x = data.sets()[0].x.double() / 255
    assert data.mean == pytest.approx(x.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert data.std[0] == pytest.approx(x[:, 0].std(unbiased=False).item(), abs=1e-12)
    assert data.std[1] == 1e-3  # a constant channel
    x = torch.randint(0, 256, (50, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    _, std = channel_statistics(Images(x, torch.zeros(50)))
    assert std == pytest.approx((x / 255).std((0, 2, 3), unbiased=False).tolist(), rel=1e-5)


def test_description_is_plain_and_counts():
    described = Dots(validation=0.25).describe()
    assert described["counts"] == {"train": 31, "validation": 10, "test": 10}
    assert (described["name"], described["image_shape"], described["synthetic"]) == ("Dots", [3, 8, 8], False)
    assert described["digest"] == Dots(seed=9, validation=0.25).describe()["digest"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"batch_size": 0}, "batch_size: 0 is not at least 1"),
        ({"validation": 1.0}, r"validation: 1.0 is not in \[0, 1\)"),
        ({"num_workers": -1}, "num_workers: -1 is negative"),
        ({"cutout": 2.0}, r"cutout: 2.0 is not in \[0, 1\]"),
    ],
)
def test_wrong_settings_are_refused_at_once(setting, message):
    with pytest.raises(UserError, match=message):
        Digits(**setting)


def test_a_batch_larger_than_the_data():
    with pytest.raises(UserError, match="batch_size: 4096 is larger than the 1293 inputs"):
        Digits(batch_size=4096).train_dataloader()
