"""The release of a library of CUDA, cuDNN or NCCL, from the name of its file or from the wheel that brought it.

Toolkits, distributions and conda install libcudart.so.12.4.127 with links to it; nvidia's wheels hold only
libcudart.so.12, and the dist-info beside the nvidia folder tells the release.
"""

import os
import re

_IN_NAME = re.compile(r"\.so\.(\d+(?:\.\d+)+)$")
_STEM = re.compile(r"^lib([A-Za-z]+?)(?:_\w+)?\.so")
# What the wheel is called where it is not called as the library is.
_WHEELS = {
    "cudart": "cuda_runtime",
    "nvrtc": "cuda_nvrtc",
    "cupti": "cuda_cupti",
    "cublaslt": "cublas",
    "cusolvermg": "cusolver",
    "nvtoolsext": "nvtx",
}


def library_version(path: str) -> str:
    """`9.1.0`; empty where nothing tells it."""
    real = os.path.realpath(path)
    match = _IN_NAME.search(real.rpartition("/")[2])
    if match:
        return match.group(1)
    stem = _STEM.match(real.rpartition("/")[2])
    site = _site_of(real)
    return _wheel_version(site, stem.group(1).lower()) if stem and site else ""


def _site_of(path: str) -> str:
    """The folder with the `nvidia` folder that the file lies in."""
    head, found, _ = path.rpartition("/nvidia/")
    return head if found else ""


def _wheel_version(site: str, stem: str) -> str:
    wanted = re.compile(rf"^nvidia_{_WHEELS.get(stem, stem)}(?:_cu\d+)?-([^-]+)\.dist-info$")
    try:
        names = [entry.name for entry in os.scandir(site)]
    except OSError:
        return ""
    return next((match.group(1) for match in map(wanted.match, sorted(names)) if match), "")
