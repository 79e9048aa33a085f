"""Networks and weights from elsewhere: what is read, and what is refused in one line."""

import pickle
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import robnas
import robnas.attacks
from own_network import CODE, Net, one_logit, trained
from robnas.errors import UserError
from robnas.models import foreign, foreign_weights


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(CODE)
    (tmp_path / "own_nets").mkdir()
    (tmp_path / "own_nets" / "__init__.py").write_text("")
    (tmp_path / "own_nets" / "small.py").write_text(CODE)
    return tmp_path


@pytest.fixture
def images():
    return torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def refused(says, call, *args, **kwargs):
    with pytest.raises(UserError) as error:
        call(*args, **kwargs)
    said = str(error.value)
    assert says in said
    assert "\n" not in said
    return said


class Evil:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


# Sources


@pytest.mark.parametrize("source", ["net.py:Net", "own_nets.small.Net", "own_nets.small:Net"])
def test_by_import_path(source, images):
    net = trained()
    torch.save(net.state_dict(), "w.pt")
    assert torch.equal(robnas.load(source, weights="w.pt")(images), net(images))


def test_arguments_reach_the_constructor():
    assert robnas.load("net.py:Net", arguments={"classes": 3})(torch.rand(2, 3, 16, 16)).shape == (2, 3)


def test_by_timm_name_without_a_download(images, monkeypatch):
    import socket

    import timm

    monkeypatch.setattr(socket, "socket", None)  # any attempt would raise
    theirs = timm.create_model("test_resnet", pretrained=False, num_classes=10).eval()
    save_file(theirs.state_dict(), "w.safetensors")
    mine = robnas.load("timm:test_resnet", weights="w.safetensors", arguments={"num_classes": 10}, mean=[0.5] * 3, std=[0.25] * 3)
    assert torch.equal(mine(images), theirs((images - 0.5) / 0.25))
    refused("pretrained would fetch", robnas.load, "timm:test_resnet", arguments={"pretrained": True})
    refused("checkpoint_path would fetch", robnas.load, "timm:test_resnet", arguments={"checkpoint_path": "x"})


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_by_torchscript(images):
    net = trained()
    torch.jit.trace(net, images).save("net.pt")
    assert torch.equal(robnas.load("net.pt")(images), net(images))
    nested = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()), nn.Flatten(), nn.Linear(784, 10)).eval()
    torch.jit.script(nested).save("nested.pt")
    ours, theirs = (robnas.attacks.PGD(eps=0.05)(model, images) for model in (robnas.load("nested.pt"), nested))
    assert torch.equal(ours.success, theirs.success)


def test_an_archive_of_torch_export_is_read_where_it_is_insisted_on(images):
    net = trained()
    torch.export.save(torch.export.export(net, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},)), "net.pt2")
    refused("net.pt2: torch reads an archive of torch.export by unpickling", robnas.load, "net.pt2")
    model = robnas.load("net.pt2", unsafe_pickle=True)
    assert torch.allclose(model(images[:3]), net(images[:3]))
    assert robnas.attacks.PGD(eps=0.3)(model, images).success.any()


def test_a_module_is_taken_as_it_is_or_normalised(images):
    net = trained()
    assert robnas.load(net) is net
    assert torch.equal(robnas.load(net, mean=[0.5], std=[0.5])(images), net((images - 0.5) / 0.5))


def test_one_logit_becomes_two(images):
    z = one_logit()(images)
    logits = robnas.load(one_logit(), one_logit=True)(images)
    assert torch.equal(logits, torch.cat([torch.zeros_like(z), z], 1))
    assert torch.equal(logits.argmax(1) == 1, z[:, 0] > 0)
    squeezed = nn.Sequential(one_logit(), nn.Flatten(0))
    assert torch.equal(robnas.load(squeezed, one_logit=True)(images), logits)
    assert torch.allclose(robnas.load(squeezed, one_logit=True)(images[:1]), logits[:1])


BAD_SOURCES = {
    "nett.py:Net": "unknown file in . 'nett.py'. Did you mean 'net.py'?",
    "net.py:Nett": "unknown name in net.py 'Nett'. Did you mean 'Net'?",
    "net.py:broken": "source: net.py:broken cannot be built: ValueError: no luck",
    "net.py:text": "source: net.py:text returns a str",
    "net.py:number": "source: net.py:number is a int",
    "own_nts.small.Net": "Did you mean 'own_nets'?",
    "own_nets.smal.Net": "unknown module in own_nets 'smal'. Did you mean 'small'?",
    "own_nets.small.Nt": "Did you mean 'Net'?",
    "timm:resnet81": "unknown timm model 'resnet81'. Did you mean 'resnet18'?",
    "missing.pt": "unknown file in . 'missing.pt'",
    "a b": "no checkpoint at a b",
}


@pytest.mark.parametrize("source", BAD_SOURCES)
def test_a_wrong_source(source):
    refused(BAD_SOURCES[source], robnas.load, source)


def test_arguments_that_it_does_not_take():
    refused("net.py:Net cannot be built: TypeError: Net.__init__() got an unexpected", robnas.load, "net.py:Net", arguments={"clases": 3})


def test_arguments_that_it_needs(here):
    (here / "wide.py").write_text("def make(classes, *, width, depth=3): ...\n")
    says = "source: wide.py:make needs classes, width: say --model.arguments.classes=… --model.arguments.width=… (in Python"
    assert "foreign.py" not in refused(says, robnas.load, "wide.py:make")
    refused("wide.py:make needs width: say", robnas.load, "wide.py:make", arguments={"classes": 3})
    refused("wide.py:make returns a NoneType", robnas.load, "wide.py:make", arguments={"classes": 3, "width": 4})


def test_the_callers_module_stays_as_it_is(here, images):
    net = Net().double().train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    torch.save(trained().state_dict(), "w.pt")
    model = robnas.load(net, weights="w.pt", mean=0.5, std=0.5)
    assert torch.equal(model(images), trained()((images - 0.5) / 0.5))
    assert net.training
    assert all(v.dtype == torch.float64 and torch.equal(v, before[k]) for k, v in net.state_dict().items())
    (here / "made.py").write_text(CODE + "\nnet = Net()\n")
    assert robnas.load("made.py:net", weights="w.pt")(images).equal(trained()(images))
    (here / "stubborn.py").write_text(CODE + "\nclass Stubborn(Net):\n    def __deepcopy__(self, memo): raise ValueError('mine')\n")
    refused("cannot be copied: ValueError: mine", robnas.load, foreign.network("stubborn.py:Stubborn"), mean=0.5, std=0.5)


def test_a_file_that_does_not_import(here):
    (here / "half.py").write_text("class Net(\n")
    refused("half.py cannot be imported: SyntaxError", robnas.load, "half.py:Net")
    (here / "needs.py").write_text("import nothing_of_that_name\n")
    refused("needs.py cannot be imported: ModuleNotFoundError", robnas.load, "needs.py:Net")


def test_normalisation_out_of_range():
    net = trained()
    refused("std: mean and std are given together", robnas.load, net, mean=[0.5])
    refused("is not positive", robnas.load, net, mean=[0.5], std=[0.0])
    refused("divide by 255", robnas.load, net, mean=[123.7, 116.3, 103.5], std=[58.4, 57.1, 57.4])
    refused("3 and 1 numbers; each needs one a channel, such as [0.5, 0.5, 0.5]", robnas.load, net, mean=[0.5] * 3, std=0.5)
    refused("std: [0.0] is not positive", robnas.load, net, mean=0.0, std=0.0)


def test_one_number_is_for_all_channels(images):
    assert torch.equal(robnas.load(trained(), mean=0, std=0.25)(images), trained()(images / 0.25))


# Weights


def bare(state):
    return state


WRAPPED = {
    "bare": bare,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3, "args": Namespace(lr=0.1)},
    "model": lambda s: {"model": s, "optimizer": {"lr": 1.0}},
    "ddp": lambda s: {f"module.{k}": v for k, v in s.items()},
    "compiled ddp": lambda s: {"state_dict": {f"module._orig_mod.{k}": v for k, v in s.items()}},
    "nested": lambda s: {"model": {"state_dict": s}},
}


@pytest.mark.parametrize("how", WRAPPED)
def test_weights_as_scripts_save_them(how):
    net, blank = trained(), Net()
    torch.save(WRAPPED[how](net.state_dict()), "w.pth")
    foreign_weights.fit(blank, foreign_weights.read("w.pth"), "w.pth")
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), blank.parameters(), strict=True))


def test_a_prefix_that_the_network_has_too_stays():
    inner = nn.Sequential()
    inner.model = Net()
    state = inner.state_dict()
    assert set(foreign_weights.without_prefix(state, state)) == set(state)


def test_weights_that_do_not_fit():
    state = trained().state_dict()
    torch.save({k: v for k, v in state.items() if "bias" not in k} | {"head.a": torch.ones(1), "head.b": torch.ones(1)}, "w.pt")
    line = refused("w.pt do not fit the network: 'linear.bias' is missing and 2 are unexpected", robnas.load, "net.py:Net", weights="w.pt")
    assert "(first 'head.a'), of 2 that it has" in line
    torch.save(state, "w.pt")
    line = refused("'linear.weight' is [10, 768] there", robnas.load, "net.py:Net", weights="w.pt", arguments={"classes": 7})
    assert line.endswith("they are of 10 classes, the network of 7")
    save_file(timm_net(4).state_dict(), "four.safetensors")
    line = refused("they are of 4 classes", robnas.load, "timm:test_resnet", weights="four.safetensors", arguments={"num_classes": 10})
    assert line.endswith("the network of 10 (--model.arguments.num_classes=4)")


def timm_net(classes):
    import timm

    return timm.create_model("test_resnet", pretrained=False, num_classes=classes)


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64, torch.bool])
def test_weights_of_another_kind_of_number(dtype):
    state = {k: v.to(dtype) for k, v in trained().state_dict().items()}
    torch.save(state, "w.pt")
    name = str(dtype).removeprefix("torch.")
    says = f"'linear.weight' is {name} there, but float32 here, and 1 more differ"
    refused(says, robnas.load, "net.py:Net", weights="w.pt")


def test_weights_of_another_width_and_counters_in_half_precision():
    norm = nn.BatchNorm2d(3)
    norm.num_batches_tracked += 7
    half = {k: v.half() for k, v in norm.state_dict().items()}
    foreign_weights.fit(nn.BatchNorm2d(3), half, "w.pt")
    half["num_batches_tracked"] += 0.5
    refused("'num_batches_tracked' is float16 there, but int64 here", foreign_weights.fit, nn.BatchNorm2d(3), half, "w.pt")


def test_a_file_of_no_format_that_is_read(here):
    for name in ("notes", "notes.pt"):
        (here / name).write_text("in these weights I trust")
        refused(f"{name} is of no format that is read: a state_dict saved by torch.save, or safeten", foreign_weights.read, name)
    refused("notes.pt is of no format that is read: TorchScript", robnas.load, "notes.pt")
    (here / "empty").write_bytes(b"")
    refused("empty is of no format", foreign_weights.read, "empty")


@pytest.mark.parametrize(
    ("content", "says"), [([1, 2], "holds no state_dict"), ({"a": 1}, "it is a dict with the keys 'a'"), ({}, "holds no state_dict")]
)
def test_a_file_without_weights(content, says):
    torch.save(content, "w.pt")
    refused(says, foreign_weights.read, "w.pt")


def test_files_that_are_not_there_or_damaged(here):
    refused("unknown file in . 'v.pt'", robnas.load, "net.py:Net", weights="v.pt")
    torch.save(trained().state_dict(), "w.pt")
    (here / "cut.pt").write_bytes((here / "w.pt").read_bytes()[:500])
    refused("cut.pt cannot be read", robnas.load, "net.py:Net", weights="cut.pt")
    (here / "cut.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nothing!")
    refused("cut.safetensors cannot be read as safetensors", robnas.load, "net.py:Net", weights="cut.safetensors")
    refused("cut.pt", robnas.load, "cut.pt")


def test_weights_alone_are_no_network():
    torch.save(trained().state_dict(), "w.pt")
    save_file(trained().state_dict(), "w.safetensors")
    for file in ("w.pt", "w.safetensors"):
        refused(f"{file} holds weights alone", robnas.load, file)


# Pickles


@pytest.mark.parametrize("content", [lambda e: e, lambda e: {"state_dict": {}, "extra": e}])
def test_a_hostile_pickle_is_not_executed(here, content):
    torch.save(content(Evil(here / "broken_in")), "evil.pt")
    (here / "raw.pt").write_bytes(pickle.dumps(content(Evil(here / "broken_in"))))
    for file in ("evil.pt", "raw.pt"):
        line = refused(file, robnas.load, "net.py:Net", weights=file)
        line += refused(file, robnas.load, file)
        assert "unsafe_pickle: true" in line
    assert not (here / "broken_in").exists()


def test_a_pickled_module_is_read_where_it_is_insisted_on(images):
    torch.save(trained(), "whole.pt")
    refused("that can run any code in it", robnas.load, "whole.pt")
    assert torch.equal(robnas.load("whole.pt", unsafe_pickle=True)(images), trained()(images))
    refused("whole.pt", robnas.load, "net.py:Net", weights="whole.pt")
    assert torch.equal(robnas.load("net.py:Net", weights="whole.pt", unsafe_pickle=True)(images), trained()(images))


# Names


@pytest.mark.parametrize(
    ("source", "title"),
    [("net.py:Net", "Net"), ("a.b.Net", "Net"), ("timm:resnet18", "resnet18"), ("d/model.pt", "model"), ("d/out", "out")],
)
def test_what_rows_call_it(source, title):
    assert foreign.title(source) == title


def test_code_counts_where_it_is_the_users(here):
    before = foreign.code_digest("net.py:Net")
    (here / "net.py").write_text(CODE + "\n# changed\n")
    assert before != foreign.code_digest("net.py:Net") != ""
    assert foreign.code_digest("timm:resnet18") == foreign.code_digest("model.pt") == ""
