"""Errors of this package: what happened, to which file, and what to do."""

from __future__ import annotations

REPAIR = "`macula store verify` finds damaged results, and `macula run` computes them again"
"""Advice for a file that cannot be read."""


class MaculaError(Exception):
    """Base class of all errors of this package."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class NotFoundError(MaculaError, FileNotFoundError):
    """A path without results of macula."""


class AmbiguousError(MaculaError, LookupError):
    """A path with several results; the message lists them."""


class UnknownNameError(MaculaError, KeyError, AttributeError):
    """A stage, output, class, photograph or column that a result does not have; the message lists those that it has."""


class WrongTypeError(MaculaError, TypeError):
    """A result of another type than the requested one."""


class FormatError(MaculaError, ValueError):
    """A file that is damaged, or was written by a version of macula that this package does not know."""


class NotKeptError(MaculaError, LookupError):
    """Something that a stage can store, but was not asked to."""


class MissingPackageError(MaculaError, ImportError):
    """An optional package that is not installed."""


def listed(names: object, most: int = 20) -> str:
    """Names in backticks, separated by commas; at most `most` of them."""
    every = [f"`{name}`" for name in names] if isinstance(names, (list, tuple)) else [f"`{names}`"]
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
