"""Small pieces of HTML for Jupyter; everything from a result is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

# Jupyter aligns to the right otherwise, and titles to the centre.
_LEFT, _RIGHT = ('style="text-align:left"', 'style="text-align:right;white-space:nowrap"')


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """A table; text is aligned to the left, numbers to the right.

    Parameters
    ----------
    head
        Titles of the columns.
    rows
        Cells, row by row.
    caption
        Text above the table.
    """
    every = list(rows)
    words = [any(isinstance(row[at], str) for row in every) for at in range(len(head))]
    titles = "".join(f"<th {_LEFT if left else _RIGHT}>{escape(title)}</th>" for title, left in zip(head, words, strict=True))
    body = []
    for row in every:
        cells = (f"<td {_LEFT if left else _RIGHT}>{escape(text(cell))}</td>" for cell, left in zip(row, words, strict=True))
        body.append(f"<tr>{''.join(cells)}</tr>")
    above = f"<p>{escape(caption)}</p>" if caption else ""
    return f"<div>{above}<table><thead><tr>{titles}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"


def text(value: object) -> str:
    """A cell: metrics with three decimals, `-` for an undefined one."""
    if value is None or value != value:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def shortened(words: str, width: int = 100) -> str:
    """The words, cut to `width` characters."""
    return words if len(words) <= width else words[: width - 1].rstrip() + "…"


def size(count: int) -> str:
    """A number of bytes: `1.6 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


def framed(page: str, height: int) -> str:
    """A page in a frame that cannot touch the notebook around it."""
    return f'<iframe srcdoc="{escape(page)}" sandbox="allow-popups" style="width:100%;height:{height:d}px;border:1px solid #ccc"></iframe>'
