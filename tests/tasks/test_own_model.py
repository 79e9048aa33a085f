"""The look at an own model beside the data, and what stops it; attacks on it, beside the same model without a Trainer."""

from collections import Counter
from itertools import pairwise

import pytest
import torch
from lightning.pytorch import LightningDataModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import robnas
from own_network import EvenOrOdd, Net, one_logit, trained
from robnas.attacks import PGD
from robnas.data import Digits
from robnas.data.sampling import GlobalBatches, Loader
from robnas.errors import UserError
from robnas.results import Rows
from robnas.tasks import OwnModel, class_order, preflight
from robnas.tasks.first_inputs import first_inputs
from small_classifier import trainer

DIGITS = tuple("0123456789")


class Answers(nn.Module):
    """A network that knows digits, and then does something to its answer."""

    def __init__(self, change) -> None:
        super().__init__()
        self.net, self.change = trained(), change

    def forward(self, x):
        return self.change(self.net(x))


class Convolution(nn.Module):
    """For images of its own size alone."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 32 * 32, 10))

    def forward(self, x):
        return self.net(x)


class Foreign(LightningDataModule):
    """A data module of the user's own: (x, y) from torch's loader, `pixels` applied to the images."""

    def __init__(self, pixels=lambda x: x) -> None:
        super().__init__()
        test = Digits(seed=0).sets()[1]
        self.test = TensorDataset(pixels(test.x.float() / 255), test.y)

    def test_dataloader(self):
        return DataLoader(self.test, 100)


def measured(tmp_path, model, data=None):
    t = trainer(tmp_path)
    return t.test(model, datamodule=data or Digits(seed=0, batch_size=100), verbose=False)[0]


def refused(says, tmp_path, model, data=None):
    with pytest.raises(UserError) as error:
        measured(tmp_path, model, data)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


def accuracy(net, data=None):
    test = (data or Digits(seed=0)).sets()[1]
    return (net(test.x.float() / 255).argmax(1) == test.y).float().mean().item()


# The look


def test_what_it_says_before_anything_else(tmp_path, capsys):
    metrics = measured(tmp_path, OwnModel(trained(), mean=[0.0] * 3, std=[1.0] * 3, class_names=list(DIGITS)))
    said = capsys.readouterr().out.splitlines()
    right = accuracy(trained())
    assert right > 0.85
    assert said[0] == "model: Net  7,690 parameters"
    assert said[1] == "images of Digits: [3, 16, 16], pixels in [0, 1]; normalisation inside the model: mean 0, 0, 0, std 1, 1, 1"
    assert said[2:5] == ["classes, the model's beside the data's:", "  class 0: '0'  model: '0'", "  class 1: '1'  model: '1'"]
    assert said[13].startswith(f"clean accuracy {right:.1%} (95% interval ")
    assert said[13].endswith("n = 360); always answering '1', the most frequent class, gives 10.3%")
    assert metrics["test/accuracy"] == pytest.approx(right)


def test_it_looks_at_the_first_inputs_alone(tmp_path, capsys):
    measured(tmp_path, OwnModel(trained(), check_inputs=130))
    assert "n = 130)" in capsys.readouterr().out


def test_without_names_of_its_own_the_order_is_said_to_be_assumed(tmp_path, capsys):
    measured(tmp_path, OwnModel(trained()))
    said = capsys.readouterr().out
    assert "no names of the model's own: it is taken to have the data's order" in said
    assert "normalisation inside the model: none" in said


def test_a_data_module_of_the_users_own(tmp_path, capsys):
    measured(tmp_path, OwnModel(trained()), Foreign())
    assert f"clean accuracy {accuracy(trained()):.1%}" in capsys.readouterr().out


# Chance


@pytest.mark.parametrize(
    ("hits", "labels", "stops"),
    [
        (17, [50, 50], True),  # worse than either
        (59, [50, 50], True),  # Wilson: 49.2 … 68.1
        (61, [50, 50], False),  # 51.2 … 70.0
        (95, [90, 10], True),  # 88.8 … 97.8: the majority alone has 90
        (97, [90, 10], False),  # 91.5 … 99.0
    ],
)
def test_the_rule_of_chance(hits, labels, stops):
    seen = preflight.Seen(hits, 100, 2, preflight.Counter(dict(enumerate(labels))))
    assert bool(seen.at_chance(None)) == stops


def test_few_images_of_one_class_are_compared_with_the_number_of_classes():
    seen = preflight.Seen(1, 2, 10, preflight.Counter({0: 1, 1: 1}))
    assert "does not exceed 50.0%, the share of the most frequent class" in seen.at_chance(None)
    rare = preflight.Seen(0, 100, 2, preflight.Counter(dict.fromkeys(range(10), 10)))
    assert "does not exceed 50.0%, 1 / 2 classes" in rare.at_chance(None)


def test_a_model_at_chance_stops_unless_it_is_insisted_on(tmp_path):
    torch.manual_seed(0)
    blank = Net()
    line = refused("the model is at chance: its clean accuracy of ", tmp_path, OwnModel(blank))
    assert "--model.insist=true goes on" in line
    assert measured(tmp_path, OwnModel(blank, insist=True))["test/accuracy"] == pytest.approx(accuracy(blank))


# What does not fit


def test_another_number_of_classes(tmp_path):
    refused("the model has 2 classes, Digits has 10", tmp_path, OwnModel(trained(2)))
    refused("the model has 2 classes, Digits has 10", tmp_path, OwnModel(trained(2), class_names=["even", "odd"]))
    refused("the model has 2 classes, Digits has 10", tmp_path, OwnModel(one_logit(), one_logit=True))


def test_images_of_another_size(tmp_path):
    refused("the model cannot be run on images [3, 16, 16] of Digits: RuntimeError: ", tmp_path, OwnModel(Convolution()))
    line = refused("the model cannot be run on images [3, 16, 16]", tmp_path, OwnModel(Convolution(channels=1)))
    assert line.endswith("; it is given 3 channels of 16 × 16 pixels: is it for another size, or for grey images?")
    says = "the model is for images [3, 32, 32], but those of Digits are [3, 16, 16]"
    refused(says, tmp_path, OwnModel(trained(), image_shape=[3, 32, 32]))
    refused("mean, std: 2 numbers each, but images of Digits have 3 channels", tmp_path, OwnModel(trained(), mean=[0.5] * 2, std=[0.5] * 2))


ANSWERS = {
    "one number": (lambda z: z[:, 0], "the model answers [100] to 100 images, one number each"),
    "a column": (lambda z: z[:, :1], "the model answers [100, 1] to 100 images, one number each"),
    "a map": (lambda z: z[:, :, None, None], "the model answers [100, 10, 1, 1] to 100 images; logits [100, classes] are needed"),
    "a tuple": (lambda z: (z, z), "the model answers a tuple of 2; one tensor of logits [100, classes] is needed"),
    "a mapping": (lambda z: {"logits": z}, "the model answers a dict of 1"),
    "labels": (lambda z: z.argmax(1), "the model answers [100] of int64 to 100 images: labels are not enough, logits [100, classes]"),
    "whole numbers": (lambda z: (z * 100).long(), "the model answers [100, 10] of int64 to 100 images: labels are not enough"),
    "too few": (lambda z: z[:50], "the model answers [50, 10] to 100 images"),
    "nothing": (lambda z: None, "the model answers a NoneType"),
    "a scalar": (lambda z: z.sum(), "the model answers [] to 100 images"),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_answers_of_another_shape(what, tmp_path):
    change, says = ANSWERS[what]
    refused(says, tmp_path, OwnModel(Answers(change)))


def test_a_one_logit_model_with_ten(tmp_path):
    says = "the model answers [100, 10] to 100 images; a one-logit model answers [100, 1] or [100]"
    refused(says, tmp_path, OwnModel(trained(), one_logit=True), EvenOrOdd(seed=0, batch_size=100))


@pytest.mark.parametrize(("pixels", "says"), [(lambda x: 255 * x, "64 to 191"), (lambda x: (x - 0.5) / 0.25, "-0.996 to 0.996")])
def test_inputs_outside_of_the_unit_interval(pixels, says, tmp_path):
    refused(f"images of Foreign have pixels from {says}; they must be in [0, 1]", tmp_path, OwnModel(trained()), Foreign(pixels))
    refused("are torch.uint8; floating point", tmp_path, OwnModel(trained()), Foreign(lambda x: (255 * x).to(torch.uint8)))


def test_it_is_not_trained(tmp_path):
    with pytest.raises(UserError, match="an own model is evaluated, not trained"):
        trainer(tmp_path).fit(OwnModel(trained()), datamodule=Digits())


def test_names_that_are_no_list():
    with pytest.raises(UserError, match=r"class_names: 'cat' is not a list: write \[cat, dog\]"):
        OwnModel(trained(), class_names="cat")


def test_a_source_is_needed():
    with pytest.raises(UserError, match="source: say which model"):
        OwnModel()


# Names of the classes

TURNED = [3, 0, 1, 2, 4, 5, 6, 7, 8, 9]  # the model's column i is the class TURNED[i]


def turned():
    net = trained()
    with torch.no_grad():
        for p in net.linear.parameters():
            p.copy_(p[TURNED])
    return net


def test_the_same_names_in_another_order_are_refused_or_mapped(tmp_path, capsys):
    names = [DIGITS[i] for i in TURNED]
    line = refused(
        "class 0 is '3' in the model, but '0' in Digits: the same 10 names in another order",
        tmp_path,
        OwnModel(turned(), class_names=names),
    )
    assert "--model.map_classes=true" in line
    mapped = OwnModel(turned(), class_names=names, map_classes=True)
    assert measured(tmp_path, mapped)["test/accuracy"] == pytest.approx(accuracy(trained()))
    assert "class 0: '0'  model: '3' (column 1 is used)" in capsys.readouterr().out
    x = Digits(seed=0).sets()[1].x[:20].float() / 255
    assert torch.equal(mapped(x), trained()(x))


def test_a_wrong_order_that_nobody_names(tmp_path):
    """Eight of ten classes are elsewhere, so that two are answered well: far above chance."""
    order = [1, 0, 3, 2, 5, 4, 7, 6, 8, 9]
    net = Answers(lambda z: z[:, order])
    line = refused("the model's classes seem to be in another order than the data's: ", tmp_path, OwnModel(net))
    right = accuracy(net)
    assert 0.1 < right < 0.25
    assert f"and accuracy would be {accuracy(trained()):.1%}, not {right:.1%}, if" in line
    assert "if 8 of 10 classes stood for others" in line
    assert line.endswith("--model.class_names (in the model's order) with --model.map_classes=true, or --model.insist=true goes on")
    assert measured(tmp_path, OwnModel(net, insist=True))["test/accuracy"] == pytest.approx(right)
    names = [DIGITS[i] for i in order]  # as the line advises
    assert measured(tmp_path, OwnModel(net, class_names=names, map_classes=True))["test/accuracy"] == pytest.approx(accuracy(trained()))


def test_a_wrong_order_at_chance_is_called_that(tmp_path):
    says = "35 of 35 inputs of '0' are answered as '1', and accuracy would be "
    refused(says, tmp_path, OwnModel(Answers(lambda z: z.roll(1, 1))))
    refused("put its outputs into the data's order, or", tmp_path, OwnModel(Answers(lambda z: z.roll(1, 1))), Foreign())


def test_few_classes_in_another_order_are_said_and_not_refused(tmp_path, capsys):
    assert measured(tmp_path, OwnModel(turned()))["test/accuracy"] < 0.65
    assert "some classes may be in another order: " in capsys.readouterr().out
    measured(tmp_path, OwnModel(trained()))
    assert "order: " not in capsys.readouterr().out.replace("data's order:", "")


def test_a_relabelling_is_judged_on_other_inputs():
    """Each class seen once in a half: any answers can be relabelled to all right, where they are the same inputs."""
    n = 200
    halves = [Counter({(y, (7 * y + shift) % n): 1 for y in range(n)}) for shift in (3, 90)]
    assert sum(len(class_order.relabelling(half)) for half in halves) == 2 * n
    assert class_order.hits(halves) == 0
    assert class_order.doubt(halves, None) == ("", False)
    assert class_order.hits([halves[0], halves[0]]) == 2 * n


def test_the_relabelling_by_hand():
    confusion = Counter({(0, 1): 9, (0, 0): 1, (1, 1): 8, (1, 0): 8, (2, 2): 5, (2, 1): 5})
    assert class_order.relabelling(confusion) == {0: 1, 1: 0, 2: 2}
    half = Counter({(0, 1): 50, (1, 0): 40, (1, 1): 10})
    said, many = class_order.doubt([half, half], ["cat", "dog"])
    assert many
    assert said == (
        "100 of 100 inputs of 'cat' are answered as 'dog', and accuracy would be 90.0%, not 10.0%, if 2 of 2 classes stood for others"
    )


def test_answers_that_are_no_logits_are_said(tmp_path, capsys):
    says = "answers look like probabilities, not logits"
    measured(tmp_path, OwnModel(Answers(lambda z: z.softmax(1))))
    assert says in capsys.readouterr().out
    measured(tmp_path, OwnModel(Answers(lambda z: z.log_softmax(1))))
    assert says not in capsys.readouterr().out
    even = EvenOrOdd(seed=0, batch_size=100)
    measured(tmp_path, OwnModel(nn.Sequential(one_logit(), nn.Sigmoid()), one_logit=True, insist=True), even)
    assert says in capsys.readouterr().out


def test_an_attack_does_not_warn_of_it_again(tmp_path, capsys):
    _, rows, _ = outcomes(tmp_path, OwnModel(Answers(lambda z: z.softmax(1))), Digits(seed=0, batch_size=25))  # a warning is an error here
    assert rows
    assert "answers look like probabilities" in capsys.readouterr().out


# Which inputs, and whose module


@pytest.mark.parametrize("many", [5, 40])
def test_validation_looks_at_its_own_first_inputs(many, tmp_path, capsys):
    data = Digits(seed=0, batch_size=16, validation=0.2)
    assert not (data.parts()[1][:5] < 5).all()  # which the training set's numbers are not
    trainer(tmp_path).validate(OwnModel(trained(), check_inputs=many, insist=True), datamodule=data, verbose=False)
    assert f"n = {many})" in capsys.readouterr().out


def test_two_ranks_look_at_what_one_looks_at():
    data = Digits(seed=0, validation=0.2)
    images, indices = data.sets()[0], data.parts()[1]

    def seen(rank, ranks, most):
        loader = Loader(images, GlobalBatches(indices, 16, rank=rank, world_size=ranks))
        return [torch.stack([b.index[keep], half[keep]]) for b, keep, half in first_inputs([loader], most, "data", rank, ranks)]

    for most in (1, 5, 21, 40, 10**6):
        one = torch.cat(seen(0, 1, most), 1)
        two = torch.cat(seen(0, 2, most) + seen(1, 2, most), 1)
        assert one[0].tolist() == indices[:most].tolist()
        assert torch.equal(one[:, one[0].argsort()], two[:, two[0].argsort()])


def test_others_loaders_are_counted():
    y = torch.arange(30)
    parts = [DataLoader(TensorDataset(y[r::2], y[r::2]), 4) for r in range(2)]
    found = [b[1][keep] for r in range(2) for b, keep, _ in first_inputs([parts[r]], 11, "data", r, 2)]
    assert sorted(torch.cat(found).tolist()) == list(range(11))
    both = [b[1][keep] for b, keep, _ in first_inputs([DataLoader(TensorDataset(y, y), 20)] * 2, 35, "data")]
    assert [len(part) for part in both] == [20, 10, 5]


def test_the_callers_module_stays_as_it_is(tmp_path):
    net = trained().train()
    for options in ({}, {"mean": [0.5], "std": [0.5]}):
        task = OwnModel(net, insist=True, **options)
        measured(tmp_path, task)
        task.double()
        assert all(m.training for m in net.modules())
        assert all(p.requires_grad and p.dtype == torch.float32 for p in net.parameters())


def test_other_names(tmp_path):
    names = [*DIGITS[:9], "nine"]
    refused(
        "class 9 is 'nine' in the model, but '9' in Digits: the two do not have the same", tmp_path, OwnModel(trained(), class_names=names)
    )
    twice = [*DIGITS[:9], "0"]
    refused("do not have the same", tmp_path, OwnModel(trained(), class_names=twice, map_classes=True))


# Attacks


def outcomes(tmp_path, model, data):
    attack = PGD(eps=8 / 255, steps=3, n_restarts=2, max_inputs=60)
    t = trainer(tmp_path, callbacks=[attack])
    rows = t.attack(model, datamodule=data)
    return attack, rows, Rows(tmp_path / "results.jsonl").read_outcomes(rows[0])


@pytest.mark.parametrize("kind", ["module", "one logit"])
def test_an_attack_finds_what_it_finds_without_a_trainer(kind, tmp_path, capsys):
    binary = kind == "one logit"
    model = OwnModel(one_logit(), one_logit=True) if binary else OwnModel(trained())
    data = (EvenOrOdd if binary else Digits)(seed=0, batch_size=25)
    attack, rows, found = outcomes(tmp_path, model, data)
    test = data.sets()[1]
    reference = trained(2) if binary else trained()  # a one-logit model is its two logits, up to what both have in common
    alone = attack(reference, test.x[:60].float() / 255, test.y[:60])
    assert torch.equal(torch.from_numpy(found["success"]), alone.success)
    assert 0 < alone.success.sum() < 60
    assert {row.metric: row.n for row in rows}["robust_accuracy"] == 60
    assert capsys.readouterr().out.startswith("model: ")


def test_the_argmax_of_one_logit_is_its_sign(tmp_path):
    data = EvenOrOdd(seed=0, batch_size=100)
    x = data.sets()[1].x.float() / 255
    model = OwnModel(one_logit(), one_logit=True)
    assert torch.equal(model(x).argmax(1) == 1, one_logit()(x)[:, 0] > 0)
    assert measured(tmp_path, model, data)["test/accuracy"] == pytest.approx(accuracy(trained(2), data))


def test_a_fingerprint_is_of_weights_and_code(tmp_path, monkeypatch):
    from own_network import CODE

    monkeypatch.chdir(tmp_path)
    prints = []
    for code, scale in ((CODE, 1), (CODE, 1), (CODE, 2), (f"{CODE}\n# changed\n", 1)):
        (tmp_path / "net.py").write_text(code)
        torch.save({k: scale * v for k, v in trained().state_dict().items()}, "w.pt")
        prints.append(OwnModel("net.py:Net", weights="w.pt").fingerprint())
    assert [a == b for a, b in pairwise(prints)] == [True, False, False]


def test_what_rows_call_it():
    assert OwnModel(trained()).description == {"name": "Net", "family": "custom"}
    assert OwnModel(trained(), name="mine").description["name"] == "mine"
    assert robnas.tasks.OwnModel is OwnModel
