"""A clean training of a moment, and backdoors planted into it."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from robnas.runtime.final_test import final_test
from robnas.tasks import Classifier
from small_poisoned import SMALL, fit


@cache
def clean() -> Path:
    """The run folder of a clean training, made once a session."""
    folder = Path(mkdtemp()) / "clean"
    trainer, model, data = fit(folder)
    final_test(trainer, model, data)
    return folder


def begun(**arguments) -> Classifier:
    """To be trained from there."""
    return Classifier(**SMALL, **{"learning_rate": 0.05, "init_from": str(clean())} | arguments)
