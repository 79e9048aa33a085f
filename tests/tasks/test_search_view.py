"""What a search tells while it runs, and the rows it leaves: the same over a kill, for searches with α and without."""

import json
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger

from robnas.data.digits import Digits
from robnas.errors import UserError
from robnas.models.build import build
from robnas.models.cells import SIZES
from robnas.results import Rows
from robnas.runtime.loggers import CSV
from robnas.runtime.loggers import read as read_csv
from robnas.runtime.progress import PlainLines
from robnas.search.base import Stage
from robnas.search.darts import DARTS
from robnas.search.pc_darts import PCDARTS
from robnas.search.random_search import Random
from robnas.search.trained_child import TrainedChild
from robnas.search.zero_cost import ZeroCost
from robnas.space.genotype import Genotype
from robnas.space.search_space import Space
from robnas.tasks import chronicle
from robnas.tasks.search_rows import name_of, rows_of
from small_sampled_search import Skips
from small_sampled_search import search as sampled
from small_supernet import SmallSearch

SPACE = Space(operations=("zero", "skip_connect", "sep_conv_3x3"), nodes=2)


class Pruning(DARTS):
    """Loses the skip connect of the first edge as the second epoch begins, which is the second stage, and the whole edge in the third."""

    def stage(self, epoch, max_epochs):
        return Stage(min(epoch, 1), first=min(epoch, 1), epochs=1 if epoch == 0 else max_epochs - 1)

    def epoch_start(self, epoch, max_epochs):
        if epoch:
            mask = torch.ones(len(self.space.edges), 3, dtype=torch.bool)
            mask[0] = torch.tensor([True, False, True]) if epoch == 1 else False
            self.alive = {"normal": mask}

    def figures(self):
        return super().figures() | {"temperature": 0.5}


def search(searcher=None, **arguments):
    return SmallSearch(searcher or DARTS(), **{"space": SPACE, "architecture_learning_rate": 0.1, "seed": 3} | arguments)


def trainer(folder, **arguments):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(default_root_dir=str(folder), accelerator="cpu", **{"max_epochs": 3, "num_sanity_val_steps": 0} | quiet | arguments)


def digits():
    return Digits(batch_size=230, seed=0)  # 718 images a half: 3 batches


@pytest.fixture
def drawn(monkeypatch):
    """Names of the pictures instead of the pictures."""
    names = []

    def draw_cells(stem, genotype, search, epoch):
        names.append(stem.name)
        return stem.with_suffix(".png")

    monkeypatch.setattr(chronicle, "draw_cells", draw_cells)
    monkeypatch.setattr(chronicle, "draw_search", lambda *arguments: [])
    return names


def lines(folder):
    return [json.loads(line) for line in (folder / "genotypes.jsonl").read_text().splitlines()]


def rows(folder):
    return {row.metric: row for row in Rows(folder / "results.jsonl").read()}


# Genotypes of every epoch


def test_a_line_for_every_number_of_epochs(tmp_path, drawn):
    task = search()
    trainer(tmp_path).fit(task, digits())
    found = lines(tmp_path)
    assert [line["epoch"] for line in found] == [0, 1, 2, 3]
    last = Genotype.from_dict(found[-1]["genotype"])
    assert last == task.searcher.derive() == Genotype.from_yaml((tmp_path / "genotype.yaml").read_text())
    cell = last.reduce
    assert found[-1]["reduce"] == {"depth": cell.depth, "width": cell.width, "skips": cell.skips}


def test_the_line_is_there_as_soon_as_the_epoch_is_through(tmp_path, drawn):
    seen = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer, *_):
            seen.append(lines(tmp_path)[-1]["epoch"])

    trainer(tmp_path, callbacks=[Watch()]).fit(search(), digits())
    assert seen == [0, 0, 0, 1, 1, 1, 2, 2, 2]


class KilledError(Exception):
    pass


class Kill(Callback):
    """Saves after `saved` batches, dies after `killed`."""

    def __init__(self, saved, killed, path):
        self.saved, self.killed, self.path = saved, killed, path

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.saved:
            trainer.save_checkpoint(self.path)
        if trainer.global_step == self.killed:
            raise KilledError


@pytest.mark.parametrize("saved", [2, 3, 4])
@pytest.mark.parametrize("make", [search, lambda: sampled(proposals=2)])
def test_a_resumed_search_has_the_lines_of_a_whole_one_and_none_twice(tmp_path, drawn, saved, make):
    whole = make()
    trainer(tmp_path / "whole").fit(whole, digits())
    killed, path = tmp_path / "killed", tmp_path / "a.ckpt"
    with pytest.raises(KilledError):
        trainer(killed, callbacks=[Kill(saved, 8, path)]).fit(make(), digits())
    assert lines(killed)[-1]["epoch"] == 2  # ahead of the checkpoint
    resumed = make()
    trainer(killed).fit(resumed, digits(), ckpt_path=str(path), weights_only=True)
    assert (killed / "genotypes.jsonl").read_bytes() == (tmp_path / "whole" / "genotypes.jsonl").read_bytes()
    assert getattr(resumed, "told", None) == getattr(whole, "told", None)


# Drawings


class Pictures(Logger):
    name = version = "pictures"

    def __init__(self):
        super().__init__()
        self.shown = []

    def log_image(self, key, images):
        self.shown.append((key, *images))

    def log_metrics(self, *_, **__): ...

    def log_hyperparams(self, *_, **__): ...


@pytest.mark.parametrize(("every", "epochs"), [(2, [2, 4]), (0, []), (5, [])])
def test_cells_are_drawn_every_few_epochs_and_shown_to_loggers_that_take_pictures(tmp_path, drawn, every, epochs):
    logger = Pictures()
    trainer(tmp_path, max_epochs=5, limit_train_batches=1, logger=logger, log_every_n_steps=1).fit(search(draw_every=every), digits())
    assert drawn == [f"cells-{epoch}" for epoch in epochs]
    assert logger.shown == [("cells", str(tmp_path / "figures" / f"cells-{epoch}.png")) for epoch in epochs]


def test_pictures_say_whose_they_are(tmp_path):
    folder = tmp_path / "of_today"
    trainer(folder, max_epochs=2, limit_train_batches=1).fit(search(PCDARTS(partial=1), draw_every=1), digits())
    title = lambda name: (folder / "figures" / f"{name}.png").with_suffix(".svg").read_text()  # noqa: E731
    assert "<!-- pc_darts, epoch 1 -->" in title("cells-1")
    assert "<!-- pc_darts, epoch 2 -->" in title("cells")
    assert ">pc_darts · of_today<" in title("alpha")
    assert title("alpha").count(">edge 0.") == 2 * len(SPACE.edges)


def test_a_sampled_search_draws_its_scores_and_its_cells(tmp_path):
    task = sampled(proposals=2)
    trainer(tmp_path, max_epochs=1, limit_train_batches=1).fit(task, digits())
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"{n}.{kind}" for n in ("cells", "scores") for kind in ("svg", "png")
    }
    assert "2 architectures, best" in (tmp_path / "figures" / "scores.svg").read_text()


def test_a_negative_rhythm_is_refused():
    with pytest.raises(UserError, match="draw_every: -1"):
        search(draw_every=-1)


# Numbers


def test_what_a_searcher_names_is_logged_and_so_are_its_stage_and_what_is_left(tmp_path, drawn):
    trainer(tmp_path, max_epochs=3, limit_train_batches=1, logger=CSV(tmp_path), log_every_n_steps=1).fit(search(Pruning()), digits())
    table = [row for row in read_csv(tmp_path / "metrics.csv") if row.get("stage")]
    column = lambda name: [float(row[name]) if row[name] else None for row in table]  # noqa: E731
    assert column("stage") == [0, 1, 1]
    assert column("temperature") == [0.5, 0.5, 0.5]
    assert column("normal/operations") == [None, pytest.approx(14 / 5), pytest.approx(12 / 5)]
    assert all(0 < value < 1.1 for value in column("normal/entropy"))  # an edge without operations is no NaN
    assert column("normal/weight/skip_connect")[0] > column("normal/weight/skip_connect")[1]


def test_the_line_of_an_epoch_says_what_matters(tmp_path, drawn, capsys):
    task = search(Pruning())
    trainer(tmp_path, max_epochs=2, callbacks=[PlainLines()], enable_progress_bar=True).fit(task, digits())
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    cell = task.searcher.derive().normal
    assert f"normal: depth {cell.depth} width {cell.width} skips {cell.skips}" in said[1]
    for word in ("entropy", "temperature 0.5", "stage 1", "operations 2.8", "valid/accuracy"):
        assert word in said[1], word


# The end


def test_the_end_says_what_was_found_in_how_long_and_where_it_lies(tmp_path, drawn, capsys):
    task = search()
    trainer(tmp_path, max_epochs=1, limit_train_batches=1).fit(task, digits())
    found, what_next = capsys.readouterr().out.splitlines()[-2:]
    cells = [f"{kind}: depth {c.depth} width {c.width} skips {c.skips}" for kind, c in task.searcher.derive().cells.items()]
    start, end = f"found {'  '.join(cells)}  in ", f" s: {tmp_path / 'genotype.yaml'}"
    assert found.startswith(start)
    assert found.endswith(end)
    assert int(found.removeprefix(start).removesuffix(end)) == pytest.approx(rows(tmp_path)["seconds"].value, abs=0.6)
    assert what_next.startswith("next: robnas fit")


@pytest.mark.parametrize("make", [search, lambda: sampled(proposals=2)])
def test_a_fast_dev_run_leaves_and_says_nothing(tmp_path, capsys, make):
    trainer(tmp_path, fast_dev_run=True).fit(make(), digits())
    assert list(tmp_path.iterdir()) == []
    assert not [line for line in capsys.readouterr().out.splitlines() if line.startswith(("found", "next"))]


# Rows


def test_the_rows_of_a_search(tmp_path, drawn):
    task = search(DARTS(gamma=0.5), n_step=2)
    trainer(tmp_path).fit(task, digits())
    found, genotype = rows(tmp_path), task.searcher.derive()
    for kind, cell in genotype.cells.items():
        assert [found[f"{kind}/{name}"].value for name in ("depth", "width", "skips")] == [cell.depth, cell.width, cell.skips]
    for size in SIZES:
        description = {"name": "found", "genotype": genotype.to_dict()}
        with torch.device("meta"):
            network = build(description, num_classes=10, image_shape=(3, 16, 16), size=size)
        assert found[f"parameters/{size}"].value == sum(p.numel() for p in network.parameters())
    row = found["epochs"]
    assert (row.value, row.kind, row.plugin, row.family) == (3, "search", "darts", "nas")
    assert row.params == {"gamma": 0.5, "damp": "weight", "derive_from": "undamped", "init_scale": 1e-3, "n_step": 2, "order": "first"}
    assert found["seconds"].value == row.seconds > 0
    assert "evaluations" not in found


def test_a_sampled_search_says_how_much_was_evaluated_and_by_what(tmp_path, drawn):
    task = sampled(Skips(), proposals=2)
    trainer(tmp_path, limit_train_batches=4).fit(task, digits())
    found = rows(tmp_path)
    assert found["evaluations"].value == task.evaluations > 0
    assert found["evaluations"].params["proposals"] == 2
    assert found["evaluations"].params["evaluator"] == name_of(task.evaluator) == "skips"
    assert found["evaluations"].plugin == name_of(Random()) == "random"


def test_rows_of_different_evaluators_differ_and_of_different_workers_do_not(tmp_path, drawn):
    def params(evaluator):
        task = sampled(evaluator)
        task.searcher.build(SPACE, 0)
        task.data = {"num_classes": 10, "image_shape": (3, 16, 16)}
        return rows_of(task, task.searcher.derive(), 1, 1.0, {})[0].params

    assert params(ZeroCost("nwot", 3)).items() >= {"evaluator": "zero_cost", "evaluator_score": "nwot", "evaluator_layers": 3}.items()
    assert params(TrainedChild(epochs=1)) != params(TrainedChild(epochs=2))
    assert params(TrainedChild(workers=1, keep_weights=True)) == params(TrainedChild(workers=2))


def test_seconds_are_the_sum_of_the_parts_and_what_a_kill_cost_is_none_of_them(tmp_path, drawn, monkeypatch):
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(chronicle, "time", SimpleNamespace(monotonic=lambda: now.seconds))

    class Clock(Callback):
        def on_train_batch_start(self, *_):
            now.seconds += 10

    path = tmp_path / "a.ckpt"
    with pytest.raises(KilledError):
        trainer(tmp_path, callbacks=[Clock(), Kill(4, 6, path)]).fit(search(), digits())
    now.seconds = 5000.0  # another boot
    trainer(tmp_path, callbacks=[Clock()]).fit(search(), digits(), ckpt_path=str(path), weights_only=True)
    assert rows(tmp_path)["seconds"].value == 90
    assert len(Rows(tmp_path / "results.jsonl").read()) == len(rows(tmp_path))


def test_an_interrupted_search_has_no_rows(tmp_path, drawn):
    class Interrupt(Callback):
        def on_train_batch_end(self, *_):
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        trainer(tmp_path, callbacks=[Interrupt()]).fit(search(), digits())
    assert not (tmp_path / "results.jsonl").exists()
