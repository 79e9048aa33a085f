"""Peak memory of an attack in Lightning's test loop does not grow with the number of inputs, but for a few numbers of each."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from every_evasion import named
from robnas import seeds
from robnas.results import Rows

BATCH = 250
PER_INPUT = 200  # bytes: about 60 of outcomes, three times while they are put together, in the order of the data set, and written
SLACK = 6 * 2**20  # bytes by which peaks of equal runs differ


class Noise(IterableDataset):
    """Batches of images that are made when they are asked for: nothing of them stays in memory."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self):
        for i in range(0, self.n, BATCH):
            index = torch.arange(i, min(i + BATCH, self.n))
            yield seeds.uniform(index, (3, 8, 8), "image"), index % 4, index

    def __len__(self) -> int:
        return -(-self.n // BATCH)


class Task(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        weight = torch.randn(4, 192, generator=torch.Generator().manual_seed(0))
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
        self.model[1].weight.data, self.model[1].bias.data = weight, -weight.sum(1) / 2

    def forward(self, x):
        return self.model(x)

    def test_step(self, batch, batch_idx):
        pass


def attack(folder: str, name: str, n: int) -> None:
    """Prints the peak of this process in bytes, and how many inputs there are outcomes of."""
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False, "accelerator": "cpu"}
    found = named(name, max_inputs=None, only_correct=False)
    trainer = Trainer(default_root_dir=folder, callbacks=[found], logger=False, **quiet)
    trainer.rows = Rows(Path(folder) / "results.jsonl")
    trainer.test(Task(), DataLoader(Noise(n), batch_size=None), verbose=False)
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")).split()[1]
    rows = trainer.rows.read()
    print("PEAK", 1024 * int(peak), len(trainer.rows.read_outcomes(rows[0])["index"]))


def peak(folder: Path, name: str, n: int) -> int:
    here = Path(__file__).parent
    path = f"import sys; sys.path[:0] = {[str(here), str(here.parent)]!r}"
    program = f"{path}\nimport test_properties_memory as t\nt.attack({str(folder)!r}, {name!r}, {n})"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    _, bytes_, inputs = done.stdout[done.stdout.index("PEAK") :].split()
    assert int(inputs) == n
    return int(bytes_)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize(("name", "few", "many"), [("pgd", 1000, 50_000), ("hopskipjump", 500, 5000)])
def test_peak_memory_is_flat_in_the_number_of_inputs(name, few, many, tmp_path):
    more = peak(tmp_path / "many", name, many) - peak(tmp_path / "few", name, few)
    assert more <= PER_INPUT * (many - few) + SLACK, f"{more / 2**20:.1f} MiB more for {many - few:,} inputs more"
