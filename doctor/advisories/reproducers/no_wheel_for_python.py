"""pip is asked for torch 2.0.1 on Python 3.12, where there is a wheel for 3.11 only."""

from _local_pip import offered, put_wheel
from _verdict import finish

put_wheel("torch-2.0.1-cp311-cp311-manylinux1_x86_64.whl")
other, own = (
    offered("torch==2.0.1", "--platform", "manylinux1_x86_64", "--python-version", minor)
    for minor in ("3.12", "3.11")
)
line = "ERROR: No matching distribution found for torch==2.0.1"
finish(line in other and line not in own, line if line in other else other[-200:])
