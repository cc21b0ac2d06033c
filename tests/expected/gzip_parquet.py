"""A Parquet table with gzip, by pyarrow 26.0.1, for tests/it/extract/label_mistakes.rs.

python3 -m venv target/gzip
target/gzip/bin/pip install pyarrow==26.0.1
target/gzip/bin/python tests/expected/gzip_parquet.py
"""

from pathlib import Path

import pyarrow
from pyarrow import parquet

table = pyarrow.table({"path": ["a.png"], "ma": [1]})
parquet.write_table(table, Path(__file__).with_name("gzip.parquet"), compression="gzip")
