"""What models, data sets, attacks and probes are called in print, in which order models stand, and what a family looks like."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

MODELS = {
    "amoebanet": "AmoebaNet",
    "darts": "DARTS",
    "drnas": "DrNAS",
    "enas": "ENAS",
    "nasnet": "NASNet",
    "pc_darts": "PC-DARTS",
    "pdarts": "P-DARTS",
    "sgas": "SGAS",
    "snas": "SNAS",
    "random": "Random",
    "darts_v1": "DARTS (V1)",
    "darts_i": "DARTS-i",
    "darts_ii": "DARTS-ii",
    "darts_iii": "DARTS-iii",
    "bit": "BiT",
    "densenet": "DenseNet",
    "dla": "DLA",
    "resnet": "ResNet",
    "resnext": "ResNeXt",
    "vgg": "VGG",
    "wide_resnet": "WideResNet",
}
"""Name in rows → in print; in the order of every table and figure, within a family."""

DATA = {
    "digits": "Digits",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenet32": "ImageNet32",
    "textures32": "Textures32",
    "imagefolder": "own images",
}
PAPERS_DATA = ("cifar10", "cifar100", "imagenet32")
"""The data sets of §3.1."""
STAND_INS = ("digits", "textures32")
"""What comes with robnas in their place; a row on it is not at the paper's size. Images of one's own are what they are."""

PLUGINS = {
    "pgd": "PGD",
    "apgd": "APGD",
    "nes": "NES",
    "square": "Square",
    "hopskipjump": "HopSkipJump",
    "noise": "noise",
    "ensemble": "ensemble",
    "epssweep": "PGD over ε",
    "hopskipjumpdistance": "HopSkipJump distance",
    "noiserobustness": "noise robustness",
    "confidence": "confidence",
    "loss": "loss",
    "lira": "LiRA",
    "labelflip": "label flip",
    "badnets": "BadNets",
    "blended": "Blended",
    "cleanlabel": "clean-label",
    "trojannn": "TrojanNN",
    "knockoff": "Knockoff",
    "gradientvariance": "gradient variance",
    "inputcontours": "contours in the input",
    "contours": "contours in the parameters",
    "zerocost": "zero-cost",
    "smoothness": "smoothness",
    "convergence": "convergence",
}
"""As `plain` has it → in print."""


class Look(NamedTuple):
    """Of a family. title: in print; colour: told apart by the colour-blind; dark: the same on a dark page; marker: the second sign."""

    title: str
    colour: str
    dark: str
    marker: str


FAMILIES = {
    "nas": Look("NAS", "#c2410c", "#fb923c", "o"),
    "manual": Look("manual", "#2563eb", "#60a5fa", "s"),
    "custom": Look("custom", "#6b7280", "#9ca3af", "^"),
}
"""Family of a row → its look; in the order of every table."""


@cache
def plain(name: str) -> str:
    """PC-DARTS, pc_darts and pcdarts are one name."""
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")


_BY_PLAIN = {plain(name): (place, name, title) for place, (name, title) in enumerate(MODELS.items())}
_FAMILY = {family: place for place, family in enumerate(FAMILIES)}


SEARCHED = re.compile(r"(.+)-([0-9a-f]{6})")
"""A cell that a search has found: the experiment's name, and the first digits of the job."""


def order(model: str, family: str = "custom") -> tuple[int, int, str]:
    """What to sort models by: families as blocks, within each the paper's order, then other names by letters."""
    place = _BY_PLAIN.get(base(model), (len(_BY_PLAIN), "", ""))[0]
    return _FAMILY.get(family, len(_FAMILY)), place, model


def model(name: str) -> str:
    """In print, "DARTS-iii (3fa9c1)" of a cell that was searched for; a name that is not ours as it is."""
    if (found := SEARCHED.fullmatch(name)) and plain(found[1]) in _BY_PLAIN:
        return f"{model(found[1])} ({found[2]})"
    return _BY_PLAIN[plain(name)][2] if plain(name) in _BY_PLAIN else name


def base(name: str) -> str:
    """In letters alone, and of a cell that was searched for its searcher's: "dartsiii" of "darts_iii-3fa9c1"."""
    found = SEARCHED.fullmatch(name)
    return plain(found[1] if found else name)


def known(title: str) -> str | None:
    """The name in rows of a model that a paper calls `title`; None where it is none of ours."""
    return _BY_PLAIN[plain(title)][1] if plain(title) in _BY_PLAIN else None


def data(name: str | None) -> str:
    """In print."""
    return DATA.get(plain(name), name) if name else "unknown data"


def plugin(name: str) -> str:
    """In print."""
    return PLUGINS.get(plain(name), name)
