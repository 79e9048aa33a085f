"""Models read back from runs, and attacked in a notebook."""

from pathlib import Path

import pytest
import torch
from torch import nn

import robnas
import robnas.attacks
from robnas.errors import UserError
from robnas.models.load import from_checkpoint
from small_classifier import digits, fitted


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, fitted(folder, max_epochs=2, limit_train_batches=20)[1]


@pytest.fixture(scope="module")
def images():
    """64 images of the test set, in [0, 1]."""
    x, y, _ = next(iter(digits(batch_size=64).test_dataloader()))
    return x, y


def bits(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_a_run_folder_or_a_file_gives_the_model_that_was_trained(run, images):
    folder, task = run
    expected = task.eval()(images[0])
    for source in (folder, str(folder), folder / "checkpoints" / "last.ckpt"):
        model = robnas.load(source)
        assert not any(m.training for m in model.modules())
        assert torch.equal(model(images[0]), expected)


def test_a_module_of_ones_own_is_itself():
    mine = nn.Linear(3, 2)
    assert robnas.load(mine) is mine
    assert mine.training


def test_the_callers_draws_stay_as_they_are(run):
    before = torch.random.get_rng_state()
    robnas.load(run[0])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_best_of_a_run(run, images):
    """Whichever epoch that was, its file is what is read."""
    folder, _ = run
    content = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    content["state_dict"]["model.network.classifier.bias"] += 1
    torch.save(content, folder / "checkpoints" / "best.ckpt")
    model = robnas.load(folder, checkpoint="best")
    assert torch.equal(model.network.classifier.bias, content["state_dict"]["model.network.classifier.bias"])
    assert not torch.equal(model(images[0]), robnas.load(folder)(images[0]))


def test_convolutions_are_channels_last(run):
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in robnas.load(run[0]).parameters() if w.ndim == 4)


# What is no run


def refused(source, says, **arguments):
    with pytest.raises(UserError, match=says) as error:
        robnas.load(source, **arguments)
    assert "\n" not in str(error.value)


def test_nothing_there(tmp_path):
    refused(tmp_path, "no checkpoint at .*last.ckpt")
    refused(tmp_path / "run", "no checkpoint at .*run")


def test_an_unknown_kind_of_checkpoint(run):
    refused(run[0], r"unknown checkpoint 'bset'. Did you mean 'best'\?", checkpoint="bset")


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_file_that_is_cut(run, tmp_path, kept):
    whole = (run[0] / "checkpoints" / "last.ckpt").read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[: int(kept * len(whole))])
    refused(tmp_path / "cut.ckpt", r"cut\.ckpt: it is cut off or damaged")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([1, 2], "holds no state_dict"),
        ({"w": torch.ones(2)}, "holds no state_dict"),
        ({"state_dict": {}, "evil": Path("x")}, "cannot be read"),  # would have to be executed
        ({"state_dict": {}}, "not a checkpoint of a classifier"),
        ({"state_dict": {}, "hyper_parameters": None}, "not a checkpoint of a classifier"),
        ({"state_dict": {}, "hyper_parameters": {"searcher": {}, "space": {}}}, "not a checkpoint of a classifier"),
    ],
)
def test_a_file_of_something_else(tmp_path, content, says):
    torch.save(content, tmp_path / "foreign.ckpt")
    refused(tmp_path / "foreign.ckpt", rf"foreign\.ckpt.* {says}")


def test_weights_that_do_not_fit(run):
    content = torch.load(run[0] / "checkpoints" / "last.ckpt", weights_only=True)
    content["hyper_parameters"]["num_classes"] = 9
    with pytest.raises(UserError, match=r"a\.ckpt: the weights do not fit network darts: size mismatch") as error:
        from_checkpoint(content, "a.ckpt")
    assert "\n" not in str(error.value)


# A notebook


@pytest.mark.parametrize("how", ["loaded", "in training mode", "straight from its training"])
def test_an_attack_without_a_trainer_leaves_the_model_as_it_was(run, images, how):
    folder, task = run
    model = task if how == "straight from its training" else robnas.load(folder)
    model.train(how != "loaded")
    x, y = images
    kept, before = x.clone(), bits(model)
    modes = [m.training for m in model.modules()]
    result = robnas.attacks.PGD(eps=8 / 255, goal="untargeted")(model, x, y)

    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert torch.equal(x, kept)

    assert (result.x_adv - x).abs().max() <= 8 / 255 + 1e-6
    assert result.x_adv.min() >= 0 <= 1 - result.x_adv.max()
    judge = robnas.load(folder)
    right, fooled = judge(x).argmax(1) == y, judge(result.x_adv).argmax(1) != y
    assert torch.equal(result.success, fooled & right)
    assert result.success.any()
    assert torch.equal(result.eligible, right)


def test_two_lines_in_a_notebook(run, images):
    """As the README has it: by default away from the label."""
    x, y = images
    result = robnas.attacks.PGD(eps=8 / 255)(robnas.load(run[0]), x, y)
    judge = robnas.load(run[0])
    assert torch.equal(result.success, (judge(result.x_adv).argmax(1) != y) & (judge(x).argmax(1) == y))
    assert robnas.attacks.PGD(eps=0.5)(robnas.load(run[0]), x, y).success.any()
