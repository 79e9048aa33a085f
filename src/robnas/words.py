"""The words of a verb that needs no torch."""

import argparse
from typing import NoReturn

from robnas.errors import UserError


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line, as all of robnas's are. Flags are written out."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raises UserError."""
        raise UserError(f"{self.prog}: {message}; `{self.prog} --help` shows what there is")
