"""Run folders as trainings would have left them, with untrained networks in them: what LiRA finds its shadows in."""

import copy

import torch
import yaml
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from robnas import jobs
from robnas.data import membership
from robnas.data.base import ImageData, Images
from robnas.identity import identity_of
from small_victims import convolutional

QUIET = {"enable_progress_bar": False, "enable_checkpointing": False, "accelerator": "cpu", "logger": False, "precision": "64-true"}


class Task(LightningModule):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)

    def test_step(self, batch, batch_idx):
        self.model(batch[0])


class Sixty(ImageData):
    """60 training and 20 test images of 8 × 8 noise."""

    name, num_classes, image_shape, class_names = "sixty", 10, (3, 8, 8), [str(i) for i in range(10)]

    def load(self) -> tuple[Images, Images]:
        g = torch.Generator().manual_seed(0)
        x = torch.randint(256, (80, 3, 8, 8), generator=g, dtype=torch.uint8)
        y = torch.randint(10, (80,), generator=g)
        return Images(x[:60], y[:60]), Images(x[60:], y[60:])


def data(seed: int = 0, members: float = 0.5) -> Sixty:
    return Sixty(batch_size=16, members=members, members_seed=seed, seed=0)


def network(seed: int) -> nn.Module:
    return convolutional(seed=seed).eval()


def run(root, seed: int, experiment: str = "classify", members: float = 0.5, finished: bool = True, **arguments):
    """→ the folder of a run that was trained on members drawn with `seed`."""
    job = jobs.Job(identity_of({"seed": seed, "members": members}), experiment, root)
    job.start()
    ours = data(seed, members)
    membership.write(job.folder, ours.membership(), members, seed)
    init_args = {"members": members, "members_seed": seed, "seed": None, "root": "data", "validation": 0.1, **arguments}
    config = {
        "experiment": experiment,
        "runs": str(root),
        "seed_everything": seed,
        "protocol": "sound",
        "wandb": "offline",
        "scale": "tiny",
        "ckpt_path": None,
        "model": {"class_path": "robnas.tasks.classifier.Classifier", "init_args": {"network": "resnet", "learning_rate": 0.1}},
        "data": {"class_path": "small_pool.Sixty", "init_args": init_args},
        "trainer": {"max_epochs": 2, "devices": "auto", "strategy": "auto", "precision": None, "gradient_clip_val": 5.0},
    }
    (job.folder / "config.yaml").write_text(yaml.safe_dump(config))
    if finished:
        job.mark_finished()
    return job.folder


def seed_of(folder) -> int:
    return yaml.safe_load((folder / "config.yaml").read_text())["seed_everything"]


def pool(shadows: int = 10) -> tuple[nn.Module, Tensor, Tensor, list[nn.Module], Tensor]:
    """Victim, x, y, its shadows, and who was a member of each: [S, 60]."""
    x, y = data().sets()[0].x.double() / 255, data().sets()[0].y
    member = torch.stack([data(k).membership() == membership.MEMBER for k in range(1, shadows + 1)])
    return copy.deepcopy(network(0)), x, y, [network(k) for k in range(1, shadows + 1)], member
