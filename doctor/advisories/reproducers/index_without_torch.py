"""pip is sent to an index that has no torch."""

from pathlib import Path

from _local_pip import pip_says
from _verdict import finish

Path("index/torch").mkdir(parents=True)
index = Path("index").resolve().as_uri()
said = pip_says("download", "--no-deps", "--dest", "out", "--index-url", index, "torch==2.10.0")
line = "Could not find a version that satisfies the requirement torch==2.10.0 (from versions: none)"
finish(line in said, line if line in said else said[-200:])
