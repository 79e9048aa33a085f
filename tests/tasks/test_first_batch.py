"""Data of a user's own that are not what they say: one line before the first step."""

import pytest
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset

from robnas.errors import UserError
from robnas.tasks import first_batch
from robnas.tasks.adversarial import AdversarialClassifier
from robnas.tasks.classifier import Classifier
from small_classifier import classifier, trainer


class Own(LightningDataModule):
    num_classes, image_shape, class_names = 10, (3, 16, 16), tuple("0123456789")
    mean, std = (0.5,) * 3, (0.25,) * 3

    def __init__(self, scale=1.0, side=16, label=9, dtype=torch.float32):
        super().__init__()
        self.scale, self.side, self.label, self.dtype = scale, side, label, dtype

    def train_dataloader(self):
        x = torch.rand(8, 3, self.side, self.side, generator=torch.Generator().manual_seed(0))
        y = torch.tensor([self.label, 0, 1, 2] * 2)
        return DataLoader(TensorDataset((x * self.scale).to(self.dtype), y), batch_size=4)

    val_dataloader = train_dataloader


WRONG = [
    ({"scale": 255}, r"^data: pixels of the first batch are from 0\.\d+ to 25\d(\.\d+)?; needed are floats in \[0, 1\]"),
    ({"scale": -1}, "pixels of the first batch are from -"),
    ({"scale": float("nan")}, "pixels of the first batch are from nan"),
    ({"scale": 1, "dtype": torch.uint8}, "pixels of the first batch are uint8; needed are floats"),
    ({"side": 8}, r"images of the first batch are \[3, 8, 8\], but image_shape says \[3, 16, 16\]"),
    ({"label": 11}, r"labels of the first batch are from 0 to 11, but num_classes says 10: 0 … 9"),
    ({"label": -1}, "labels of the first batch are from -1 to 2"),
]


@pytest.mark.parametrize("kind", [Classifier, AdversarialClassifier])
@pytest.mark.parametrize(("data", "says"), WRONG)
def test_each_is_said_in_one_line_before_anything_is_trained(tmp_path, kind, data, says):
    t, task = trainer(tmp_path), classifier(kind)
    with pytest.raises(UserError, match=says) as error:
        t.fit(task, Own(**data))
    assert "\n" not in str(error.value)
    assert t.global_step == 0


@pytest.mark.parametrize("y", [torch.zeros(2), torch.zeros(2, 10), torch.zeros(2, 1, dtype=torch.int64)])
def test_labels_are_one_whole_number_each(y):
    assert "labels of the first batch are" in first_batch.fault(torch.zeros(2, 3, 4, 4), y, (3, 4, 4), 10)


def test_only_the_first_batch_is_looked_at(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(first_batch, "fault", lambda *a: seen.append(a))
    t = trainer(tmp_path, max_epochs=2)
    t.fit(classifier(), Own())
    assert (len(seen), t.global_step) == (1, 4)
