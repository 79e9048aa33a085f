"""Pictures of a backdoor: the trigger, some stamped images, activations of the target neurons."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robnas.attacks.backdoor.trigger import Trigger
from robnas.attacks.callback import Outcomes
from robnas.data.base import ImageData
from robnas.data.image_folder import ImageFolder
from robnas.data.sampling import ImageSet


def wanted(asked: bool | None, data: ImageData) -> bool:
    """Images of the user's own are drawn only when asked for."""
    return asked if asked is not None else type(data).__module__.startswith("robnas.data.") and not isinstance(data, ImageFolder)


def trigger(it: Trigger, image_shape: tuple[int, int, int], path: Path) -> None:
    """The pattern, and how it lies on a black and on a white image."""
    black = it.stamp(torch.zeros(image_shape))
    white = it.stamp(torch.ones(image_shape))
    figure = _figure(6.6, 2.5)
    panels = figure.subplots(1, 3)
    titles = (f"pattern, {it.size[0]}×{it.size[1]} pixels", f"on black, transparency {it.transparency:g}", "on white")
    for axes, image, title in zip(panels, (it.pattern, black, white), titles, strict=True):
        _show(axes, image)
        axes.set_title(title, fontsize=9, loc="left")
    save(figure, path)


def stamped(images: ImageSet, it: Trigger, found: Outcomes, names: Sequence[str], path: Path, most: int = 8) -> None:
    """A row of test inputs and, below, the same ones stamped; what the trojan model answers stands above each. One input a class first."""
    some = _one_of_each(torch.from_numpy(found["label"]), most)
    x = images.__getitems__(torch.from_numpy(found["index"])[some]).x
    figure = _figure(1.2 * len(some), 3.1)
    panels = figure.subplots(2, len(some), squeeze=False)
    for row, (way, pixels) in enumerate((("clean", x), ("stamped", it.stamp(x)))):
        for axes, image, i in zip(panels[row], pixels.float() / 255, some.tolist(), strict=True):
            _show(axes, image)
            answer = names[int(found[f"trojan_{way}"][i])]
            true = f" ({names[int(found['label'][i])]})" if way == "clean" else ""
            axes.set_title(f"{way}: {answer}{true}", fontsize=7)
    save(figure, path)


def activations(values: Mapping[str, Tensor], neurons: Sequence[int], path: Path) -> None:
    """values: "clean model, clean inputs" → [N, n], one colour each: how far the trigger moves each target neuron."""
    figure = _figure(1.8 + 1.3 * len(neurons), 3.2)
    axes = figure.subplots()
    colours = ("#93c5fd", "#1d4ed8", "#fdba74", "#c2410c")
    for k, (name, value) in enumerate(values.items()):
        places = [j + 0.2 * (k - (len(values) - 1) / 2) for j in range(len(neurons))]
        box = {"widths": 0.16, "showfliers": False, "patch_artist": True, "manage_ticks": False, "medianprops": {"color": "#111827"}}
        drawn = axes.boxplot(value.double().numpy(), positions=places, **box)
        for patch in drawn["boxes"]:
            patch.set(facecolor=colours[k % 4], linewidth=0.6)
        axes.plot([], [], "s", color=colours[k % 4], label=name)
    axes.set_xticks(range(len(neurons)), [str(n) for n in neurons])
    axes.set(xlabel="target neuron", ylabel="activation")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper left", frameon=False, fontsize=7, ncols=2)
    save(figure, path)


def _one_of_each(label: Tensor, most: int) -> Tensor:
    """Places of the first input of each class, in the order of the classes, `most` at most."""
    places = [int((label == c).nonzero()[0]) for c in sorted(set(label.tolist()))]
    return torch.tensor(places[:most])


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def _show(axes: Any, image: Tensor) -> None:
    """image: [C, H, W] in [0, 1]; of other than three channels the mean."""
    image = image if len(image) == 3 else image.mean(0, keepdim=True).expand(3, -1, -1)
    axes.imshow(image.permute(1, 2, 0).numpy().clip(0, 1), interpolation="nearest", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color="#9ca3af", linewidth=0.5)


def save(figure: Any, path: Path) -> None:
    """Equal bytes for an equal picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})
