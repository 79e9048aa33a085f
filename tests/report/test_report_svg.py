"""SVGs in fewer letters are the same pictures."""

import re

from robnas.report.svg import slim, width

PICTURE = """<?xml version="1.0"?>
<svg xmlns:xlink="x" width="756pt" height="72pt">
 <defs>
  <style type="text/css">*{stroke-linejoin: round}</style>
 </defs>
 <g id="patch_1">
  <!-- a -->
  <path d="M 1.23456 2
L -0.001 4.5
z" clip-path="url(#p54c7)" style="fill: #fff"/>
  <path id="DejaVuSans-4e" d="M 10 20" transform="scale(0.015625)" style="fill: #fff"/>
  <use xlink:href="#DejaVuSans-4e" transform="translate(52.098765 0.000001) scale(0.09 -0.0912345)"/>
 </g>
 <clipPath id="p54c7"><rect x="7.126" y="0"/></clipPath>
</svg>"""


def test_numbers_are_rounded_scales_are_not_and_names_still_lead_where_they_led() -> None:
    text = slim(PICTURE)
    assert 'd="M1.23 2L-0 4.5z"' in text
    assert 'transform="scale(0.015625)"' in text
    assert 'transform="translate(52.1 0) scale(0.09 -0.0912345)"' in text
    ids, used = set(re.findall(r' id="(\w+)"', text)), set(re.findall(r"#(\w+)[\")]", text)) - {"fff"}
    assert ids == used
    assert len(ids) == 2
    assert "patch_1" not in text
    (name,) = re.findall(r"\.(\w+)\{fill: #fff\}", text)
    assert text.count(f'class="{name}"') == 2
    assert slim(PICTURE) == text
    assert len(text) < 0.9 * len(PICTURE)


def test_width() -> None:
    assert width(PICTURE) == 756
    assert width("<svg>") is None
