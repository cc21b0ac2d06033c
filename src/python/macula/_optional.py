"""Packages that are only needed by some functions."""

from __future__ import annotations

import importlib
from typing import Any

from ._errors import MissingPackageError


def imported(package: str, purpose: str, install: str | None = None) -> Any:
    """The module `package`, or an error that says how to install it.

    Parameters
    ----------
    package
        Name of the module.
    purpose
        What needs it, for the message.
    install
        Name on PyPI, if it differs.

    Raises
    ------
    MissingPackageError
        If it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.split(".")[0]:
            raise
        raise MissingPackageError(
            f"{purpose} needs the package `{package}`, which is not installed: run `pip install {install or package}`"
        ) from None
