"""Writes snappy.parquet as pandas writes a table without further words: snappy pages, a dictionary, large offsets.

    python tests/expected/snappy.py"""

import pathlib

import pandas

table = pandas.DataFrame(
    {
        "photograph": ["IDRiD_01"] * 3 + ["IDRiD_02"],
        "x": [0, 128, 256, 0],
        "y": [0, 0, 0, 128],
        "score.MA": [0.125, 0.5, 0.875, 1.0],
        "score.HE": [0.25, 0.25, 0.25, 0.0],
    }
)
table.to_parquet(pathlib.Path(__file__).parent / "snappy.parquet", index=False)
