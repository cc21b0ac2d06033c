"""Writes snappy.parquet as pandas writes a table by default (snappy, a dictionary, large offsets) and zstd.parquet as polars does.

    python tests/expected/tables.py {pandas|polars}"""

import pathlib
import sys

here = pathlib.Path(__file__).parent
table = {
    "photograph": ["IDRiD_01"] * 3 + ["IDRiD_02"],
    "x": [0, 128, 256, 0],
    "y": [0, 0, 0, 128],
    "score.MA": [0.125, 0.5, 0.875, 1.0],
    "score.HE": [0.25, 0.25, 0.25, 0.0],
}
if sys.argv[1] == "pandas":
    import pandas

    pandas.DataFrame(table).to_parquet(here / "snappy.parquet", index=False)
else:
    import polars

    polars.DataFrame(table).write_parquet(here / "zstd.parquet")
