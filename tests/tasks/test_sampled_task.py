"""Sampled search under a Trainer: when it trains weights, when it scores, what it writes, refuses and remembers."""

import copy
import math
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import ClassVar
from unittest import mock

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger

from robnas import seeds
from robnas.data.digits import Digits
from robnas.errors import UserError
from robnas.runtime.checkpoints import Checkpoints
from robnas.search.darts import DARTS
from robnas.search.enas import ENAS
from robnas.search.evaluator import Evaluator
from robnas.search.random_search import Random
from robnas.search.shared_weights import SharedWeights
from robnas.search.trained_child import TrainedChild
from robnas.search.zero_cost import ZeroCost
from robnas.space.genotype import Genotype
from robnas.space.mixture import Mixture
from robnas.space.percentile import random_genotype
from robnas.tasks.sampled_search import SampledSearch
from robnas.tasks.scoring import Scoring
from robnas.tasks.search import Search
from robnas.tasks.supernet_task import cosine
from small_sampled_search import SPACE, Again, Skips, search


def trainer(folder, **arguments):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(default_root_dir=str(folder), accelerator="cpu", **{"max_epochs": 2, "num_sanity_val_steps": 0} | quiet | arguments)


def digits(batch_size=100):  # 718 images a half: 7 batches
    return Digits(batch_size=batch_size, seed=0)


def rounds_of(task):
    """Epoch → how many scores were told in it."""
    return {epoch: n for epoch, (n, _) in task.told.epochs.items()}


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    """They take longer than everything else here."""
    monkeypatch.setattr("robnas.tasks.chronicle.draw_search", lambda *arguments: [])
    Skips.seen.clear()


@pytest.mark.parametrize(
    ("arguments", "rounds"),
    [
        ({}, [7, 7]),
        ({"n_step": 5}, [2, 1]),  # of 14 batches 0, 5, 10
        ({"architecture_warmup": 1}, [0, 7]),
        ({"architecture_warmup": 1, "n_step": 3}, [0, 2]),  # 9, 12
        ({"weight_epochs": 1}, [0, 7]),  # once weights stand still, every batch is a round
        ({"weight_epochs": -1}, [0, 7]),
        ({"weight_epochs": 0}, [7, 7]),
    ],
)
def test_rounds(tmp_path, arguments, rounds):
    task, t = search(proposals=2, **arguments), trainer(tmp_path)
    t.fit(task, digits())
    assert rounds_of(task) == {e: 2 * n for e, n in enumerate(rounds) if n}
    assert task.evaluations == task.searcher.asked == 2 * sum(rounds)
    assert t.global_step == 14


def test_weights_move_only_in_their_epochs(tmp_path):
    class Watch(Callback):
        """The weights at the start of every epoch, and at the end."""

        seen: list = []  # noqa: RUF012

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx == 0:
                self.seen.append(copy.deepcopy(pl_module.network.state_dict()))

        def on_train_end(self, trainer, pl_module):
            self.seen.append(copy.deepcopy(pl_module.network.state_dict()))

    watch = Watch()
    trainer(tmp_path, max_epochs=3, callbacks=[watch]).fit(search(weight_epochs=2, momentum=0.9), digits())
    moved = [any(not torch.equal(value, after[name]) for name, value in before.items()) for before, after in pairwise(watch.seen)]
    assert moved == [True, True, False]


@pytest.mark.parametrize(("weight_epochs", "until"), [(None, 4), (3, 3), (-2, 2)])
def test_the_learning_rate_comes_to_its_end_when_the_training_of_weights_does(tmp_path, weight_epochs, until):
    rates = []

    class Look(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    task = search(weight_epochs=weight_epochs, learning_rate=0.4, learning_rate_min=0.1)
    trainer(tmp_path, max_epochs=4, limit_train_batches=1, limit_val_batches=0, callbacks=[Look()]).fit(task, digits())
    assert rates[:until] == [cosine(epoch, until, 0.4, 0.1) for epoch in range(until)]


def test_a_weight_step_goes_along_the_path_that_the_searcher_samples(tmp_path):
    paths = []

    class Watched(SampledSearch):
        def _weight_step(self, batch, mixture):
            paths.append(mixture)
            return super()._weight_step(batch, mixture)

    task = search(kind=Watched, layers=2, init_channels=2)
    trainer(tmp_path, limit_train_batches=3, max_epochs=1, limit_val_batches=0).fit(task, digits(16))
    for task.searcher.step, path in enumerate(paths):
        expected = Mixture.of(task.searcher.sample(), SPACE)
        assert all(torch.equal(path.weights[kind], expected.weights[kind]) for kind in path.weights)
    assert len(paths) == 3


def test_what_has_one_score_is_scored_once(tmp_path):
    task = search(Skips(), Again(), proposals=3)
    trainer(tmp_path, limit_train_batches=5).fit(task, digits())
    scores = task.told.means
    assert Skips.seen == [2]
    assert scores == scores[:2] * 15
    assert scores[:2] == [float(random_genotype(SPACE, seeds.derive(3, "searcher", "ask"), n).normal.skips) for n in (0, 1)]
    assert task.evaluations == 2
    assert len(task.told) == 30


@pytest.mark.parametrize(("inputs", "weight_epochs", "evaluations"), [("batch", 1, 14), ("half", 1, 2), ("half", None, 28)])
def test_shared_weights_are_asked_again_unless_neither_they_nor_the_inputs_change(tmp_path, inputs, weight_epochs, evaluations):
    """Two architectures, 7 rounds of 2 an epoch."""
    task = search(SharedWeights(inputs), Again(), proposals=2, weight_epochs=weight_epochs)
    trainer(tmp_path).fit(task, digits())
    assert task.evaluations == evaluations


def test_where_nothing_is_shared_there_is_no_supernet_and_an_epoch_is_a_round(tmp_path):
    task, t = search(Skips(), proposals=4), trainer(tmp_path, max_epochs=3)
    t.fit(task, digits())
    assert sum(p.numel() for p in task.parameters()) == 1
    assert rounds_of(task) == {0: 4, 1: 4, 2: 4}
    assert t.global_step == 3
    assert "valid/loss" not in t.callback_metrics
    more = search(Skips())
    trainer(tmp_path, limit_train_batches=5).fit(more, digits())
    assert rounds_of(more) == {0: 5, 1: 5}


@pytest.mark.parametrize("verb", ["test", "validate"])
def test_where_nothing_is_shared_there_is_nothing_to_evaluate(tmp_path, verb):
    with pytest.raises(UserError, match="a search by Skips has no weights to evaluate"):
        getattr(trainer(tmp_path), verb)(search(Skips()), digits())


def test_what_a_search_leaves_behind(tmp_path, capsys):
    folder = tmp_path / "run"
    task = search(proposals=2)
    t = trainer(folder, logger=CSVLogger(folder, name="", version=""), log_every_n_steps=5)
    t.fit(task, digits())
    best = max(task.told.means)
    assert Genotype.from_yaml((folder / "genotype.yaml").read_text()) == task.searcher.derive()
    assert task.searcher.told[0].score == best
    header = (folder / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train/loss", "train/accuracy", "valid/loss", "valid/accuracy", "normal/depth", "reduce/skips", "normal/width"} < set(header)
    assert {"mean_score", "evaluations", "best_score"} < set(header)
    assert float(t.callback_metrics["mean_score"]) == pytest.approx(sum(task.told.means[14:]) / 14)
    assert float(t.callback_metrics["evaluations"]) == 28


def test_validation_is_of_the_derived_path_with_the_batch_s_own_moments(tmp_path):
    task = search(kind=SampledSearch, layers=2, init_channels=2)
    trainer(tmp_path, limit_train_batches=2, max_epochs=1, limit_val_batches=0).fit(task, digits(16))
    x = torch.rand(8, 3, 16, 16)
    before = copy.deepcopy(task.network.state_dict())
    own, other = task.eval()(x), task(torch.cat([x, torch.rand(8, 3, 16, 16)]))[:8]
    assert not task.network.training
    assert not torch.allclose(own, other)
    task.network.train()
    expected = task.network(task.normalize(x), Mixture.of(task.searcher.derive(), SPACE))
    assert torch.allclose(own, expected)
    assert not own.requires_grad
    task.network.load_state_dict(before)  # only that last pass has moved statistics
    assert torch.equal(own, task(x))
    assert all(torch.equal(value, before[name]) for name, value in task.network.state_dict().items())


def test_the_validation_half_is_the_same_in_every_pass_and_not_augmented(tmp_path):
    passes, batches = [], []

    class Look(Evaluator):
        def scores(self, genotypes, scene):
            passes.append(torch.cat([x for x, _ in scene.validation()]))
            batches.append(scene.x)
            assert not scene.config
            assert scene.folder == tmp_path
            assert scene.logits is None
            return [0.0 for _ in genotypes]

    data = digits()
    trainer(tmp_path).fit(search(Look()), data)
    half = data.train_set.__getitems__(data.halves()[1]).x
    assert torch.equal(passes[0], half.float() / 255)
    assert torch.equal(passes[0], passes[1])
    pixels = {tuple(image.flatten().tolist()) for image in passes[0]}
    assert all(tuple(image.flatten().tolist()) in pixels for image in batches[0])
    assert not torch.equal(batches[0], batches[1])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"evaluator": Skips(), "layers": 5}, "layers: 5 has no meaning for Skips, which shares no weights; leave it out"),
        ({"evaluator": TrainedChild(), "layers": 5}, "layers: 5 has no meaning for TrainedChild, which shares no weights; that of its own"),
        ({"evaluator": TrainedChild(), "init_channels": 9}, "is evaluator.init_args.init_channels"),
        ({"evaluator": TrainedChild(), "learning_rate": 0.5}, "is evaluator.init_args.learning_rate"),
        ({"evaluator": Skips(), "batch_norm_across_ranks": False}, "batch_norm_across_ranks: False has no meaning for Skips"),
        ({"weight_epochs": -1, "n_step": 5}, "n_step: 5 has no meaning with weight_epochs: no round comes beside a weight step"),
        (
            {"searcher": Random(finalists=5), "proposals": 4},
            "searcher.init_args.finalists: 5 is more than proposals, 4: scores of several rounds are of other weights or other inputs",
        ),
        ({"searcher": Random(finalists=5), "evaluator": SharedWeights("half")}, "finalists: 5 is more than proposals, 1"),
        ({"searcher": Random(finalists=5), "weight_epochs": 1}, "finalists: 5 is more than proposals, 1"),
        ({"searcher": DARTS()}, "searcher: DARTS is not run by SampledSearch; its task is Search"),
        ({"n_step": 0}, "n_step: 0 is less than 1"),
        ({"proposals": 0}, "proposals: 0 is less than 1"),
        ({"evaluator": Skips(), "n_step": 5}, "n_step: 5 has no meaning for Skips, which shares no weights; leave it out"),
        ({"evaluator": Skips(), "weight_epochs": 1}, "weight_epochs: 1 has no meaning for Skips"),
        ({"evaluator": Skips(), "architecture_warmup": 1}, "architecture_warmup: 1 has no meaning for Skips"),
        ({"evaluator": Skips(), "gradient_clip": 1.0}, "gradient_clip: 1.0 has no meaning for Skips"),
        ({"evaluator": Skips(), "momentum": 0.5}, "momentum: 0.5 has no meaning for Skips"),
        ({"evaluator": {"class_path": "torch.nn.Linear"}}, "evaluator: 'torch.nn.Linear' is neither imported nor an installed plug-in"),
        ({"evaluator": {"class_path": "robnas.search.darts.DARTS"}}, "evaluator: robnas.search.darts.DARTS is no evaluator"),
        ({"evaluator": Random()}, "evaluator: Random is no evaluator"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, says):
    with pytest.raises(UserError) as error:
        SampledSearch(**{"searcher": Random(), "evaluator": SharedWeights()} | arguments)
    assert says in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"evaluator": Skips(), "layers": 3, "init_channels": 8, "learning_rate": 0.03},  # as `scale: tiny` sets them for every evaluator
        {"searcher": Random(finalists=4), "proposals": 4},
        {"searcher": Random(finalists=5), "evaluator": SharedWeights("half"), "weight_epochs": 1},
        {"searcher": Random(finalists=5), "evaluator": Skips()},
    ],
)
def test_arguments_that_have_a_meaning_or_are_not_the_user_s(arguments):
    SampledSearch(**{"searcher": Random(), "evaluator": SharedWeights()} | arguments)


@pytest.mark.parametrize(("weight_epochs", "until"), [(1, 1), (-1, 1)])
def test_a_warm_up_within_the_training_of_weights_is_refused(tmp_path, weight_epochs, until):
    says = f"architecture_warmup: 1 has no meaning with weight_epochs: no round comes in the first {until} epochs; leave it out"
    with pytest.raises(UserError, match=says):
        trainer(tmp_path).fit(search(weight_epochs=weight_epochs, architecture_warmup=1), digits())


def test_a_sampled_searcher_is_no_relaxed_one():
    with pytest.raises(UserError, match="searcher: Random is not run by Search; its task is SampledSearch"):
        Search(Random())


@pytest.mark.parametrize(
    ("weight_epochs", "says"),
    [
        (
            2,
            "2 of 2 epochs leave none for the architecture; trainer.max_epochs of at least 3 is needed, or a smaller --model.weight_epochs",
        ),
        (-3, "-3 of 2 epochs leave none for the weights; trainer.max_epochs of at least 3 is needed, or --model.weight_epochs=-1"),
    ],
)
def test_weights_and_architecture_need_an_epoch(tmp_path, weight_epochs, says):
    with pytest.raises(UserError, match=f"weight_epochs: {says}"):
        trainer(tmp_path).fit(search(weight_epochs=weight_epochs), digits())


@pytest.mark.parametrize("score", [math.nan, -math.inf])
def test_a_score_that_is_no_number_stops_the_search(tmp_path, score):
    class Broken(Evaluator):
        def scores(self, genotypes, scene):
            return [score for _ in genotypes]

    with pytest.raises(UserError, match=f"evaluator: Broken gave {score}"):
        trainer(tmp_path).fit(search(Broken()), digits())


class Stop(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            raise KeyError("killed")


def everything(task):
    return task.state_dict(), task.searcher.state(), task.told, task.scoring.state() | {"told": None}


@pytest.mark.parametrize(
    ("arguments", "stop"),
    [
        ({"proposals": 2, "n_step": 2}, 10),
        ({"evaluator": SharedWeights("half"), "searcher": Again(), "weight_epochs": 1}, 10),
        ({"evaluator": Skips(), "proposals": 3}, 8),
        ({"evaluator": ZeroCost("synflow", 1, 2)}, 8),
    ],
)
def test_a_search_that_was_left_in_mid_epoch_ends_with_the_same_bits(tmp_path, arguments, stop):
    def run(folder, *callbacks, ckpt_path=None):
        task = search(**copy.deepcopy(arguments))
        callbacks = [Checkpoints(save_every_n_steps=3), *callbacks]
        t = trainer(folder, enable_checkpointing=True, callbacks=callbacks, limit_train_batches=6, limit_val_batches=1)
        t.fit(task, digits(), ckpt_path=ckpt_path)
        return task

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyError, match="killed"):
        run(tmp_path / "left", Stop(stop))
    last = tmp_path / "left" / "checkpoints" / "last.ckpt"
    kept = torch.load(last, weights_only=True)
    assert kept["global_step"] == stop // 3 * 3
    assert 0 < len(kept["scores"]["told"]["bins"]) < len(whole.told)
    resumed = run(tmp_path / "left", ckpt_path=str(last))
    for mine, theirs in zip(everything(resumed), everything(whole), strict=True):
        if isinstance(mine, dict) and all(isinstance(v, torch.Tensor) for v in mine.values()):
            assert mine.keys() == theirs.keys()
            assert all(torch.equal(mine[k], theirs[k]) for k in mine)
        else:
            assert mine == theirs


def test_a_checkpoint_makes_the_same_search_again(tmp_path):
    task = search(ZeroCost("nwot", 2, 2), n_step=1, kind=SampledSearch)
    t = trainer(tmp_path, max_epochs=1)
    t.fit(task, digits())
    t.save_checkpoint(tmp_path / "c.ckpt")
    kept = torch.load(tmp_path / "c.ckpt", weights_only=True)
    again = SampledSearch(**kept["hyper_parameters"])
    assert again.evaluator.to_config() == {
        "class_path": "robnas.search.zero_cost.ZeroCost",
        "init_args": {"score": "nwot", "layers": 2, "init_channels": 2},
    }
    again.on_load_checkpoint(kept)
    again.load_state_dict(kept["state_dict"])
    assert again.told == task.told
    assert again.searcher.derive() == task.searcher.derive()


def test_equal_architectures_share_a_score_whatever_the_order_of_their_edges(tmp_path):
    task = search(Skips())
    genotype = random_genotype(SPACE, 0)
    turned = Genotype.from_dict(
        {kind: {"nodes": [edges[::-1] for edges in cell["nodes"]], "concat": cell["concat"]} for kind, cell in genotype.to_dict().items()}
    )
    assert task.scoring.scores([genotype, turned], SimpleNamespace(), settled=True) == [float(genotype.normal.skips)] * 2
    assert Skips.seen == [1]


class Failing(Skips):
    """Those of the rounds named fail, all of them."""

    rounds: ClassVar[tuple[int, ...]] = ()

    def scores(self, genotypes, scene):
        scored = super().scores(genotypes, scene)
        return [None for _ in scored] if len(self.seen) in self.rounds else scored


def test_what_failed_is_told_the_worst_and_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(Failing, "rounds", (2,))
    one, other = (random_genotype(SPACE, seed) for seed in (0, 1))
    scoring = search(Failing()).scoring
    scored = [scoring.scores(asked, SimpleNamespace(), settled=True) for asked in ([one], [one, other, other], [other], [other])]
    assert scored == [[one.normal.skips], [one.normal.skips, 0.0, 0.0], [other.normal.skips], [other.normal.skips]]
    assert other.normal.skips
    assert Skips.seen == [1, 1, 1]
    assert (scoring.evaluations, scoring.failed) == (3, 1)
    assert scoring.figures() == {"evaluations": 3.0, "failed": 1.0}


def test_a_search_says_how_many_failed_and_how_many_were_scored_before_also_when_it_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(Failing, "rounds", (2,))
    before = []

    class Look(Failing):
        @property
        def fixed(self):
            return False

        def scores(self, genotypes, scene):
            before.append(scene.scored)
            return super().scores(genotypes, scene)

    task, t = search(Look(), proposals=2), trainer(tmp_path)
    t.fit(task, digits())
    t.save_checkpoint(tmp_path / "c.ckpt")
    assert before == [0, 2]
    assert (float(t.callback_metrics["failed"]), task.told.means[2:]) == (2.0, [0.0, 0.0])
    trainer(tmp_path, max_epochs=3).fit(search(Look(), proposals=2), digits(), ckpt_path=str(tmp_path / "c.ckpt"))
    assert before == [0, 2, 2]


@pytest.mark.parametrize("inputs", ["batch", "half"])
def test_bfloat16(tmp_path, inputs):
    """The autocast forward of the real supernet: weights stay float32 and move, scores and losses are numbers."""
    task = search(SharedWeights(inputs), ENAS(finalists=2), kind=SampledSearch, layers=3, init_channels=2, proposals=2)
    t = trainer(tmp_path, precision="bf16-mixed", limit_train_batches=2, max_epochs=1, limit_val_batches=1)
    seen, scene_as_it_is = set(), Scoring.scene
    with mock.patch.object(Scoring, "scene", autospec=True, side_effect=lambda *given: watched(scene_as_it_is(*given), seen)):
        t.fit(task, digits(32))
    assert seen == {torch.bfloat16}
    assert {p.dtype for p in task.network.parameters()} == {torch.float32}
    assert all(0 <= score <= 1 for score in task.told.means)
    assert all(math.isfinite(t.callback_metrics[name]) for name in ("train/loss", "valid/loss", "mean_score"))


def watched(scene, seen):
    def logits(x, mixture):
        out = scene.logits(x, mixture)
        seen.add(out.dtype)
        return out

    return replace(scene, logits=logits)
