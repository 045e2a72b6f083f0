"""Tables as text: what is copied, searched and read by programs, too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, whole_rules: bool = True
) -> Iterator[str]:
    """Write a table.

    Args:
        columns: What stands above each column.
        rows: The cells.
        whole_rules: Whether the line under a title is as wide as the column, and not the title.
    """
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    rules = ["-" * width for width in (widths if whole_rules else map(len, columns))]
    for line in (columns, rules, *rows):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join(cells).rstrip()
