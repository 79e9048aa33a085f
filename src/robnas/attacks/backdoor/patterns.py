"""What triggers look like, by name."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from robnas import seeds
from robnas.errors import UserError, unknown

HELLO = """
#.#.###.#..
#.#.#...#..
###.##..#..
#.#.#...#..
#.#.###.###
...........
#...###.#..
#...#.#.#..
#...#.#.#..
#...#.#....
###.###.#..
"""
"""Stands for the cartoon of Chen et al. (2017), which is somebody's."""


def named(name: str, shape: tuple[int, int, int], seed: int) -> Tensor:
    """[C, h, w] in [0, 1]: "checkerboard" with white corners, "white", "noise" (uniform, by seed), "hello", or an image file, resized."""
    c, h, w = shape
    if name == "checkerboard":
        rows, columns = torch.arange(h)[:, None], torch.arange(w)
        return ((rows + columns) % 2 == 0).float().expand(c, h, w).clone()
    if name == "white":
        return torch.ones(c, h, w)
    if name == "noise":
        return seeds.uniform(torch.arange(c), (h, w), seed, "pattern")
    if name == "hello":
        ink = torch.tensor([[character == "#" for character in line] for line in HELLO.split()]).float()
        return interpolate(ink[None, None], size=(h, w), mode="nearest")[0].expand(c, h, w).clone()
    if not Path(name).is_file():
        raise unknown("pattern (or image file)", name, ("checkerboard", "white", "noise", "hello"))
    return _of_file(Path(name), shape)


def _of_file(path: Path, shape: tuple[int, int, int]) -> Tensor:
    c, h, w = shape
    try:
        with Image.open(path) as image:
            pixels = image.convert("L" if c == 1 else "RGB").resize((w, h), Image.Resampling.BILINEAR)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"pattern: {path} is not a readable image ({error})") from error
    values = torch.frombuffer(bytearray(pixels.tobytes()), dtype=torch.uint8).view(h, w, -1)
    return values.permute(2, 0, 1).float() / 255
