"""Children are trained for all ranks by the first one."""

from pathlib import Path
from random import Random

from ranks import run_on_ranks
from robnas.search.evaluator import Scene
from robnas.search.trained_child import TrainedChild
from robnas.space.genotype import Genotype
from robnas.space.percentile import random_cell
from robnas.space.search_space import Space


def _scores(rank: int, folder: Path) -> tuple[list[float], int]:
    calls: list[int] = []

    def trained(commands, workers=None):
        calls.append(len(commands))
        for i in range(len(commands)):
            (folder / f"child{i}").mkdir(parents=True)
            (folder / f"child{i}" / "metrics.csv").write_text(f"step,epoch,valid/accuracy\n1,0,0.{rank}{i + 1}\n")
        return [folder / f"child{i}" for i in range(len(commands))]

    random, space = Random(3), Space()
    genotypes = [Genotype(random_cell(space, random), random_cell(space, random)) for _ in range(2)]
    config = {"experiment": "search", "seed_everything": 0, "data": {"class_path": "Digits"}}
    scene = Scene(x=None, y=None, space=space, data={}, seed=0, folder=folder, jobs=trained, config=config)  # type: ignore[arg-type]
    return TrainedChild().scores(genotypes, scene), len(calls)


def test_two_ranks(tmp_path):
    assert run_on_ranks(_scores, 2, tmp_path / "run") == [([0.01, 0.02], 1), ([0.01, 0.02], 0)]
