"""Where a figure is drawn changes nothing in it, and no way for the other process to end costs a figure."""

from typing import Any

import pytest

from robnas.report import style
from robnas.report.files import svg
from robnas.report.pictures import Pictures


def figure(rate: float = 0.5) -> Any:
    made, axes = style.grid(1, 2, 2.0)
    marks = [style.Mark(f"model {i}", "nas" if i < 2 else "manual", rate / (i + 1), 0.1, 0.9, (rate, 0.2)) for i in range(4)]
    style.forest(axes[0, 0], marks, "ASR", (0, 1))
    style.percent_axis(axes[0, 0])
    style.log_ticks(axes[0, 1], [1, 10, 100])
    style.key(made, ["nas", "manual"], seeds=True)
    return made


def test_the_other_process_draws_the_same_to_the_byte() -> None:
    with Pictures(apart=True) as pictures:
        drawn = [pictures.start(figure(rate), "name") for rate in (0.5, 0.7)]
        assert [picture.asked is not None for picture in drawn] == [True, True]
        assert [picture.asked.result() for picture in drawn if picture.asked] == [svg(figure(rate), "name") for rate in (0.5, 0.7)]
        assert drawn[0].svg == svg(figure(0.5), "name")


def test_alone_everything_is_drawn_here() -> None:
    with Pictures(apart=False) as pictures:
        picture = pictures.start(figure(), "name")
        pictures.help()
        assert picture.asked is None
        assert picture.svg == svg(figure(), "name")


def test_what_cannot_be_sent_or_answered_is_drawn_here() -> None:
    with Pictures(apart=True) as pictures:
        odd = figure()
        odd.axes[0].xaxis.set_major_formatter(lambda value, _: f"{value:.0f}!")
        assert pictures.start(odd, "odd").asked is None
        wrong = figure()
        wrong.axes[0].set_title("$\\nonsense$")
        with pytest.raises(ValueError, match="nonsense"):
            _ = pictures.start(wrong, "wrong").svg
        pictures._process.kill()  # type: ignore[union-attr]
        late = [pictures.start(figure(), "late") for _ in range(2)]
        pictures.help()
        assert [picture.svg for picture in late] == [svg(figure(), "late")] * 2
