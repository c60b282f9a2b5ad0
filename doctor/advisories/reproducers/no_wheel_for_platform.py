"""pip on musl, on Windows and on 64-bit ARM, where a package has wheels for Linux with glibc on x86_64 only."""

from _local_pip import offered, put_wheel
from _verdict import finish

put_wheel("triton-3.1.0-cp311-cp311-manylinux_2_17_x86_64.whl")
OWN = ("--python-version", "3.11")
line = "ERROR: No matching distribution found for triton==3.1.0"
refused = [
    name
    for name in ("musllinux_1_2_x86_64", "win_amd64", "manylinux_2_17_aarch64")
    if line in offered("triton==3.1.0", *OWN, "--platform", name)
]
own = offered("triton==3.1.0", *OWN, "--platform", "manylinux_2_17_x86_64")
finish(len(refused) == 3 and line not in own, f"{line} ({', '.join(refused)})")
