"""Tables as pandas, polars and Arrow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ._errors import UnknownNameError, listed
from ._html import table as html_table
from ._optional import imported

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas
    import polars


def to_pandas(table: pa.Table) -> pandas.DataFrame:
    """The table in pandas; missing values of labels and counts are `pandas.NA`.

    Columns of truth values are `boolean`, and columns of integers with missing values `UInt32`, `Int64` and so on, so that no label
    becomes a float. Other columns have the types of numpy.
    """
    pd = imported("pandas", "a pandas table")
    nullable = {
        pa.bool_(): pd.BooleanDtype(),
        pa.uint32(): pd.UInt32Dtype(),
        pa.uint64(): pd.UInt64Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
    }
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        wanted = pa.types.is_boolean(column.type) or column.null_count > 0
        columns[name] = column.to_pandas(types_mapper=nullable.get if wanted else None)
    index = pd.RangeIndex(table.num_rows)
    frame: pandas.DataFrame = pd.DataFrame(columns, index=index, columns=list(columns))
    return frame


def to_polars(table: pa.Table) -> polars.DataFrame:
    """The table in polars."""
    pl = imported("polars", "`polars()`")
    frame: polars.DataFrame = pl.from_arrow(table)
    return frame


class Tabular(ABC):
    """Something that is a table: in pandas, polars, Arrow, or a column at a time in numpy."""

    @abstractmethod
    def arrow(self) -> pa.Table:
        """The table in Arrow."""

    def table(self) -> pandas.DataFrame:
        """The table in pandas.

        Truth values are `boolean`, with `pandas.NA` if unknown; integers with missing values are `UInt32` or `Int64`.
        """
        return to_pandas(self.arrow())

    def polars(self) -> polars.DataFrame:
        """The table in polars; a missing value is null."""
        return to_polars(self.arrow())

    def column(self, name: str) -> npt.NDArray[Any]:
        """A column in numpy, of N values; missing numbers are NaN, and other missing values `None`."""
        table = self.arrow()
        if name not in table.column_names:
            raise UnknownNameError(f"unknown column `{name}`; there are {listed(table.column_names, 60)}")
        return table.column(name).to_numpy()


class Table(Tabular):
    """A table of a result, read when it is used.

    Parameters
    ----------
    name
        What it is, for `repr`.
    read
        Reads it.
    """

    def __init__(self, name: str, read: Callable[[], pa.Table]) -> None:
        self._name, self._read = name, read
        self._table: pa.Table | None = None

    def arrow(self) -> pa.Table:
        """The table in Arrow."""
        if self._table is None:
            self._table = self._read()
        return self._table

    def __len__(self) -> int:
        return self.arrow().num_rows

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.arrow().column_names)

    def __repr__(self) -> str:
        return f"<table {self._name}: {len(self):,} rows, {len(self.columns)} columns>"

    def _repr_html_(self) -> str:
        table = self.arrow()
        rows = [tuple(row.values()) for row in table.slice(0, 10).to_pylist()]
        return html_table(table.column_names, rows, f"{self._name}: {table.num_rows:,} rows")
