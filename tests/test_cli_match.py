"""`robnas match`: options to paste, which a training takes as they are."""

import json

import pytest
import yaml

from command_line import refused, robnas
from robnas.units import magnitude


def test_options_to_paste(capsys):
    said = robnas("match resnet darts --parameters 3M", capsys)
    assert said.status == 0
    first, second, command = said.out.splitlines()
    assert first.split("  ") == ["resnet", "2.97 M parameters", "148 M FLOPs", "-0.8%", "{depth: 18, width: 33}"]
    assert second.endswith("{layers: 20, init_channels: 34}")
    assert command.endswith("--model.network=resnet --model.options='{depth: 18, width: 33}'")
    assert yaml.safe_load(first[first.index("{") :]) == {"depth": 18, "width": 33}


def test_as_json(capsys):
    (entry,) = json.loads(robnas("match vgg --flops 50e6 --options {depth: 11} --image-size 16 --num-classes 7 --json", capsys).out)
    assert entry["name"] == "vgg"
    assert entry["options"]["depth"] == 11
    assert entry["off"] == pytest.approx(entry["flops"] / 50e6 - 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("match resnet", "a budget is needed: either --parameters N or --flops N"),
        ("match resnet --parameters 1M --flops 1M", "a budget is needed"),
        ("match resnet --parameters many", "'many' is no budget; write 3000000, 3e6 or 3M"),
        ("match resnet --parameters 3M --options depth", "'depth' is not of the form '{depth: 34}'"),
        ("match resnet --parameters 3M --image-size 0", "--image-size: 0 is below 1"),
        ("match resnet --parameters 10", "nothing is within 5% of 10 parameters; the nearest has"),
        ("match", "the following arguments are required: NAME"),
    ],
)
def test_bad_words_are_one_line(words, message, capsys):
    assert message in refused(words, capsys)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3000000", 3e6),
        ("3e6", 3e6),
        ("3M", 3e6),
        ("3.5 M", 3.5e6),
        ("0.5G", 5e8),
        ("500k", 5e5),
        ("1_000", 1e3),
        ("-3", None),
        ("3x", None),
        ("", None),
        ("nan", None),
        ("1e999", None),
    ],
)
def test_magnitudes(text, number):
    assert magnitude(text) == number
