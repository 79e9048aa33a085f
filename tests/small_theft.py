"""A fit on a part of digits that takes a second: victims, and replicas of them."""

from robnas.data import Digits
from robnas.runtime.final_test import final_test
from robnas.runtime.trainer import Trainer
from robnas.tasks import Classifier

QUIET = {"enable_progress_bar": False, "logger": False, "accelerator": "cpu", "devices": 1}
SMALL = {"network": "resnet", "size": "tiny", "options": {"depth": 10, "width": 4}}


def data(**arguments):
    """517 of 1,437 inputs to train on, 144 to validate."""
    return Digits(**{"batch_size": 32, "seed": 0, "members": 0.4, "validation": 0.1} | arguments)


def fit(folder, *callbacks, model=None, digits=None, test=False, **arguments):
    trainer = Trainer(default_root_dir=folder, callbacks=list(callbacks), **{"max_epochs": 1, **QUIET, **arguments})
    model, digits = model or Classifier(**SMALL), digits or data()
    trainer.fit(model, datamodule=digits)
    if test:
        final_test(trainer, model, digits)
    return trainer, model, digits
