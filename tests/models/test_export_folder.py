"""A model as a folder: the same bits again, nothing half, nothing written over; and its card."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

import robnas
from robnas.errors import UserError
from robnas.models import card, export
from robnas.models.build import describe, of_architecture
from robnas.results import Row

NAMES = [f"<b>{i}</b> | `x` *y*" for i in range(4)]


@pytest.fixture(params=["darts", "vgg"])
def architecture(request):
    options = {"layers": 3, "init_channels": 4} if request.param == "darts" else {}
    data = {"num_classes": 4, "image_shape": [3, 16, 16], "class_names": NAMES, "mean": [0.1, 0.2, 0.3], "std": [0.3, 0.2, 0.1]}
    return {"description": describe(request.param), "size": "tiny", "options": options} | data


@pytest.fixture
def model(architecture):
    """With weights and running statistics that are nobody's defaults."""
    torch.manual_seed(1)
    model = of_architecture(architecture)
    for value in model.state_dict().values():
        if value.is_floating_point() and value.ndim:
            value.add_(0.01 * torch.rand_like(value))
    return model.eval()


def written(out, architecture, model, **facts):
    export.write(Path(out), architecture, model.state_dict(), facts, "# a card\n")
    return Path(out)


def refused(says, call, *args):
    with pytest.raises(UserError) as error:
        call(*args)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_the_same_bits_come_back(tmp_path, architecture, model):
    out = written(tmp_path / "a" / "out", architecture, model)
    assert sorted(p.name for p in out.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert [p.name for p in out.parent.iterdir()] == ["out"]
    x = torch.rand(5, 3, 16, 16)
    before = torch.random.get_rng_state()
    for source in (out, str(out), out / "model.safetensors"):
        again = robnas.load(source)
        assert not any(m.training for m in again.modules())
        assert torch.equal(again(x), model(x))
        assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True))
        assert again.architecture == json.loads(json.dumps(architecture))
    assert torch.equal(before, torch.random.get_rng_state())


def test_what_lies_there_is_not_written_over(tmp_path, architecture, model):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    refused("full is not empty and is no export", written, tmp_path / "full", architecture, model)
    refused("file is a file", written, tmp_path / "file", architecture, model)
    (tmp_path / "empty").mkdir()
    assert export.is_export(written(tmp_path / "empty", architecture, model))
    assert {p.name for p in tmp_path.iterdir()} == {"full", "file", "empty"}


def test_an_export_is_brought_up_to_date_and_a_repository_in_it_stays(tmp_path, architecture, model):
    out = written(tmp_path / "out", architecture, model)
    (out / ".git").mkdir()
    with torch.no_grad():
        next(model.parameters()).add_(1)
    written(out, architecture, model)
    assert (out / ".git").is_dir()
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(robnas.load(out)(x), model(x))


def test_a_writing_that_fails_leaves_nothing(tmp_path, architecture, model):
    with pytest.raises(ValueError, match="not JSON compliant"):
        written(tmp_path / "out", architecture, model, value=float("nan"))
    assert list(tmp_path.iterdir()) == []


def test_parts_that_do_not_belong_together(tmp_path, architecture, model):
    out = written(tmp_path / "out", architecture, model)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    other = written(tmp_path / "other", architecture, model)
    shutil.copy(other / "model.safetensors", out)
    refused("model.safetensors is not the file that config.json beside it was written for", robnas.load, out)
    (out / "model.safetensors").unlink()
    refused("model.safetensors is missing", robnas.load, out)
    changed = json.loads((other / "config.json").read_text())
    for key, value, says in (
        ("format", "robnas export 9", "is of the format 'robnas export 9'"),
        ("architecture", {"size": "tiny"}, "its architecture lacks description, options"),
        ("architecture", None, "its architecture lacks description"),
    ):
        (other / "config.json").write_text(json.dumps(changed | {key: value}))
        refused(says, robnas.load, other)


@pytest.mark.parametrize("there", [False, True], ids=["empty", "export"])
def test_the_configuration_is_replaced_last(tmp_path, architecture, model, monkeypatch, there):
    """Killed in between, an old folder holds other weights than its config.json says, which is found out; the reverse would not be."""
    out = tmp_path / "out"
    out.mkdir()
    if there:
        written(out, architecture, model)
    order, replace = [], Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: (order.append(Path(target).name), replace(self, target))[1])
    inode = out.stat().st_ino
    written(out, architecture, model)
    assert order == ["model.safetensors", "README.md", "config.json"]
    assert out.stat().st_ino == inode  # filled, not replaced: it may be where somebody stands, or a mount
    assert sorted(p.name for p in out.iterdir()) == sorted(order)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, architecture, model):
    (tmp_path / "file").touch()
    refused("file/x cannot be written: ", written, tmp_path / "file" / "x", architecture, model)
    refused("/proc/no/such cannot be written: ", written, Path("/proc/no/such"), architecture, model)


HOSTILE_VALUES = {
    "mean-texts": ("mean", ["a"], "mean: ['a'] is not a list of numbers"),
    "mean-count": ("mean", [0.1, 0.2], "mean, std: 2 and 3 numbers"),
    "std-zero": ("std", [0, 0, 0], "std: [0, 0, 0] is not a list of positive numbers"),
    "std-nan": ("std", [float("nan")] * 3, "std: [nan, nan, nan] is not"),
    "description-name": ("description", {"name": "x"}, "description: its family None is not a text"),
    "description-plugin": ("description", {"name": "x", "family": "nas"}, "description: its plugin None is not a network's name"),
    "description-genotype": ("description", {"name": "x", "family": "nas", "genotype": 5}, "description: a genotype has a normal and"),
    "description-text": ("description", "resnet", "description: 'resnet' is not a mapping"),
    "class_names-number": ("class_names", 5, "class_names: 5 is not a list of names"),
    "class_names-few": ("class_names", ["a"], "class_names: 1 names for num_classes: 4"),
    "image_shape": ("image_shape", "abc", "image_shape: 'abc' is not [channels, height, width]"),
    "image_shape-text": ("image_shape", ["3", 16, 16], "image_shape: ['3', 16, 16] is not"),
    "num_classes": ("num_classes", True, "num_classes: True is not a whole number"),
    "options": ("options", None, "options: None is not a mapping of options"),
    "size": ("size", 3, "size: 3 is not a text"),
}


@pytest.mark.parametrize(("key", "value", "says"), HOSTILE_VALUES.values(), ids=HOSTILE_VALUES)
def test_a_changed_architecture_is_one_line(tmp_path, key, value, says):
    data = {"num_classes": 4, "image_shape": [3, 16, 16], "class_names": list("abcd"), "mean": [0.1, 0.2, 0.3], "std": [0.3, 0.2, 0.1]}
    good = {"description": describe("vgg"), "size": "tiny", "options": {}} | data
    content = {"format": export.FORMAT, "architecture": good, "weights": {"blake2b": "0"}}
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert export.read_config(tmp_path) == content
    (tmp_path / "config.json").write_text(json.dumps(content | {"architecture": good | {key: value}}))
    refused(f"config.json: {says}", export.read_config, tmp_path)
    for other, wrong, line in (
        ("weights", "abc", "weights: 'abc' is not"),
        ("data", [1], "data: [1] is not"),
        ("weights", None, "weights:"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(content | {other: wrong}))
        refused(line, export.read_config, tmp_path)


def test_the_export_of_another_run_is_not_replaced(tmp_path, architecture, model):
    out = written(tmp_path / "out", architecture, model, run="classify/0123456789ab")
    export.refuse(out)
    export.refuse(out, "classify/0123456789ab")
    export.refuse(out, "renamed/0123456789ab")
    refused("out is the export of 'classify/0123456789ab': --overwrite", export.refuse, out, "classify/ffffffffffff")
    export.refuse(tmp_path / "new", "classify/ffffffffffff")


def test_options_of_an_own_network_are_refused(tmp_path, architecture, model):
    out = written(tmp_path / "out", architecture, model)
    with pytest.raises(UserError, match=r"mean, std: .* is a model of robnas's, which has its own"):
        robnas.load(out, mean=[0.5], std=[0.5])


# The card

HOSTILE = 'x"]\n---\n<script>alert(1)</script> | `code` [a](http://b) *c* # d'


def test_everything_in_the_card_is_text(architecture):
    architecture = {**architecture, "description": {**architecture["description"], "name": HOSTILE}, "options": {HOSTILE: HOSTILE}}
    row = Row(metric="robust_accuracy", value=0.5, n=10, ci=(0.2, 0.8), plugin=HOSTILE, params={"path": HOSTILE}, kind="attack")
    facts = {
        "dataset": HOSTILE,
        "run": HOSTILE,
        "data": {"root": HOSTILE},
        "recipe": {"note": "```\n# out\n"},
        "versions": {"robnas": HOSTILE},
    }
    made = card.card(architecture, facts, [row], parameters=7, out="o")
    _, header, body = made.split("---\n", 2)
    assert yaml.safe_load(header)["model-index"][0]["name"] == " ".join(HOSTILE.split())
    outside = []
    fence = None
    for line in body.splitlines():
        if fence is None and line.startswith("```"):
            fence = line.rstrip("abcdefghijklmnopqrstuvwxyz")
        elif line == fence:
            fence = None
        elif fence is None:
            outside.append(line)
    assert fence is None
    text = "\n".join(outside)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "](http" not in text.replace("\\]", "")
    headings = [line for line in outside if line.startswith("#")]
    assert [h for h in headings if h.startswith("## ")] == headings[1:]
    assert "out" not in headings
    rows = [line for line in outside if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {3, 6}  # no cell of its own


def test_a_fence_is_longer_than_what_it_holds():
    assert card.fenced("a\n````\nb", "yaml") == "`````yaml\na\n````\nb\n`````"
    assert card.fenced("a", "yaml") == "```yaml\na\n```"


def test_nothing_is_said_that_was_not_measured(architecture):
    made = card.card(architecture, {}, [], parameters=7, out="o")
    assert "Nothing was measured of these weights." in made
    assert "model-index" not in made
    assert "accuracy" not in made
    assert "## Training" not in made
    assert "## Data" not in made


def test_what_was_measured_stands_in_header_and_table(architecture):
    rows = [
        Row(metric="accuracy", value=0.9, n=100, ci=(0.82, 0.95), plugin="accuracy", kind="train"),
        Row(
            metric="robust_accuracy",
            value=0.25,
            n=100,
            ci=(0.17, 0.34),
            plugin="pgd",
            params={"goal": "untargeted", "eps": 8 / 255, "step_size": 2 / 255},
            kind="attack",
            norm="linf",
        ),
        Row(metric="asr", value=None, n=0, ci=(0.0, 1.0), plugin="pgd", kind="attack"),
    ]
    made = card.card(architecture, {"dataset": "Digits"}, rows, parameters=1234567, out="o")
    header = yaml.safe_load(made.split("---\n")[1])
    (result,) = header["model-index"][0]["results"]
    assert result["dataset"]["name"] == "Digits"
    assert [(m["name"], m["value"]) for m in result["metrics"]] == [
        ("test accuracy", 0.9),
        ("robust accuracy under pgd, untargeted, eps 8/255", 0.25),
    ]
    assert "| test accuracy | 90.0% | 82.0 to 95.0% | 100 |  |" in made
    assert "| robust accuracy under pgd, untargeted, eps 8/255 | 25.0% | 17.0 to 34.0% | 100 | step\\_size 2/255, norm linf |" in made
    assert "| ASR under pgd | not defined |" in made
    assert "an upper bound" in made
    assert "1,234,567" in made


def test_an_adversarially_trained_model_says_so_and_its_accuracy_is_not_that_under_the_attack(architecture):
    how = {"method": "trades", "attack": "pgd", "eps": 8 / 255, "step_size": 2 / 255, "beta": 6.0}
    row = Row(metric="accuracy", value=0.9, n=100, ci=(0.82, 0.95), plugin="accuracy", kind="train", params=how)
    made = card.card(architecture, {"dataset": "Digits", "recipe": {"adversarial": how}}, [row], parameters=7, out="o")
    _, header, body = made.split("---\n", 2)
    name = architecture["description"]["name"]
    assert yaml.safe_load(header)["tags"][2:] == [name, "adversarial-training", "trades", "pgd", "eps 8/255"]
    assert f"# {card.text(name)} on Digits, adversarially trained (trades, pgd, eps 8/255)\n" in body
    assert "An image classifier trained adversarially" in body
    assert "| test accuracy | 90.0% | 82.0 to 95.0% | 100 |  |" in body
    assert "step_size: 2/255" in body
    plain = card.card(architecture, {"dataset": "Digits", "recipe": {"momentum": 0.9}}, [row], parameters=7, out="o")
    assert "adversarial" not in plain


def test_a_card_says_that_training_was_attacked_and_numbers_have_their_own_units(architecture):
    facts = {"attacked": {"label_flip": {"class": "labelflip", "rate": 0.4}}, "defended": {"filter": {"class": "lossfilter"}}}
    near = Row(metric="median_distance", value=0.25, n=10, ci=(0.2, 0.3), ci_method="order statistics", plugin="hopskipjump")
    drop = Row(metric="cad", value=0.278, n=360, ci=(0.225, 0.331), ci_method="paired bootstrap", plugin="labelflip")
    made = card.card(architecture, facts, [near, drop], parameters=7, out="o")
    assert "**These weights were trained under attack**, for research: label\\_flip (class labelflip, rate 0.4)." in made
    assert "Protected by filter" in made
    assert "| 0.25 | 0.2 to 0.3 | 10 |" in made
    assert "| 27.8% | 22.5 to 33.1% | 360 |" in made
    assert "- attacked" in made
    assert "under attack" not in card.card(architecture, {}, [near], parameters=7, out="o")


def test_an_export_keeps_what_was_done_to_its_training(architecture, model, tmp_path):
    attacked = {"badnets": {"class": "badnets"}}
    assert export.load(written(tmp_path / "o", architecture, model, attacked=attacked)).attacked == attacked
    assert export.load(written(tmp_path / "p", architecture, model)).attacked == {}
