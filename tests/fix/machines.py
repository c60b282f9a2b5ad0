"""Machines that people rent and own, and what each must get: profile, support, kind of the nearest way out.

`(name, cards, driver, image, more, profile, support, kind)`; a kind other than "" says that the GPU stays unused or
nothing fits, and what is in the way. The floors are those of doctor/tables/cuda_drivers.toml and of the profiles in
choice_tools.py.
"""

ALL = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
IMAGES = {  # glibc and the Pythons that come with it
    "ubuntu20": ("2.31", ("3.8",)),
    "ubuntu22": ("2.35", ("3.10",)),
    "ubuntu24": ("2.39", ("3.12",)),
    "debian12": ("2.36", ("3.11",)),
    "rocky8": ("2.28", ("3.6", "3.9")),
    "rocky9": ("2.34", ("3.9",)),
    "amazon2": ("2.26", ("3.7",)),
    "amazon2+38": ("2.26", ("3.8",)),
    "centos7": ("2.17", ("3.6",)),
    "conda": ("2.35", ALL),
    "py313": ("2.41", ("3.13",)),
    "py314": ("2.41", ("3.14",)),
    "bare": ("2.35", ()),
}

K80, M60, P100, P40, V100 = (
    "Tesla K80 3.7",
    "Tesla M60 5.2",
    "Tesla P100 6.0",
    "Tesla P40 6.1",
    "Tesla V100 7.0",
)
GTX1080, GTX1080TI, GTX1650, T4 = "GTX 1080 6.1", "GTX 1080 Ti 6.1", "GTX 1650 7.5", "Tesla T4 7.5"
A100, A100_40, A10, A40 = "A100 80GB 8.0", "A100 40GB 8.0", "A10 8.6", "A40 8.6"
RTX3060, RTX3090, RTX4090, RTX5090 = "RTX 3060 8.6", "RTX 3090 8.6", "RTX 4090 8.9", "RTX 5090 12.0"
L4, L40S, ADA, BLACKWELL = "L4 8.9", "L40S 8.9", "RTX 6000 Ada 8.9", "RTX PRO 6000 Blackwell 12.0"
H100, H200, B200, B300 = "H100 9.0", "H200 9.0", "B200 10.0", "B300 10.3"

MACHINES = [
    # Pascal and older
    ("GTX 1080 of 2020", [GTX1080], "450.80.02", "ubuntu20", {}, "py38-torch20-cu117", "minor", ""),
    ("GTX 1080 before CUDA 11", [GTX1080], "390.157", "conda", {}, "cpu-py311", "cpu", "driver"),
    ("GTX 1080, driver 470", [GTX1080], "470.256.02", "conda", {}, "py38-torch20-cu117", "minor", ""),
    ("GTX 1080, driver 515", [GTX1080], "515.65.01", "conda", {}, "py38-torch20-cu117", "direct", ""),
    ("GTX 1080, driver 525", [GTX1080], "525.60.13", "conda", {}, "py312-torch27-cu126", "minor", ""),
    ("GTX 1080 Ti, driver 560", [GTX1080TI], "560.35.03", "debian12", {}, "py311-torch27-cu126", "direct", ""),
    ("GTX 1080 Ti, driver 580", [GTX1080TI], "580.95.05", "ubuntu22", {}, "py310-torch27-cu126", "direct", ""),
    ("GTX 1080 Ti, Python 3.13 only", [GTX1080TI], "580.95.05", "py313", {}, "cpu-py313", "cpu", "python"),
    ("GTX 1080 Ti, Python 3.9 only", [GTX1080TI], "535.183.01", "rocky9", {}, "cpu-py39", "cpu", "python"),
    ("P100 of Kaggle", [P100], "535.104.05", "debian12", {}, "py311-torch27-cu126", "minor", ""),
    ("P40, driver 550", [P40], "550.54.15", "ubuntu24", {}, "py312-torch27-cu126", "minor", ""),
    ("M60 of g3", [M60], "525.147.05", "conda", {}, "py312-torch27-cu126", "minor", ""),
    ("K80 of p2", [K80], "470.256.02", "conda", {}, "cpu-py311", "cpu", "none"),
    ("K80, Ubuntu 20.04", [K80], "450.119.04", "ubuntu20", {}, "py38-torch20-cu117", "cpu", "none"),
    # Volta
    ("V100, driver 450", [V100], "450.119.04", "conda", {}, "py38-torch20-cu117", "minor", ""),
    ("V100, driver 535", [V100], "535.183.01", "debian12", {}, "py311-torch210-cu128", "minor", ""),
    ("V100, driver 560", [V100], "560.35.03", "ubuntu24", {}, "py312-torch210-cu128", "minor", ""),
    ("V100, driver 580", [V100], "580.95.05", "conda", {}, "py312-torch210-cu128", "direct", ""),
    ("V100, driver 470, Python 3.11", [V100], "470.256.02", "debian12", {}, "cpu-py311", "cpu", "driver"),
    # Turing
    ("T4 of Colab", [T4], "550.54.15", "ubuntu24", {}, "py312-torch210-cu128", "minor", ""),
    ("T4, driver 470", [T4], "470.256.02", "conda", {}, "py38-torch20-cu117", "minor", ""),
    ("T4, driver 525", [T4], "525.60.13", "ubuntu22", {}, "py310-torch210-cu128", "minor", ""),
    ("T4, driver 580", [T4], "580.95.05", "ubuntu24", {}, "py312-torch214-cu130", "direct", ""),
    ("T4, driver 595", [T4], "595.71.05", "ubuntu24", {}, "py312-torch215-cu132", "direct", ""),
    ("GTX 1650, driver 510", [GTX1650], "510.108.03", "ubuntu20", {}, "py38-torch20-cu117", "minor", ""),
    ("GTX 1650, driver 520", [GTX1650], "520.61.05", "debian12", {}, "cpu-py311", "cpu", "driver"),
    # Ampere
    ("A100, driver 515", [A100], "515.65.01", "conda", {}, "py38-torch20-cu117", "direct", ""),
    ("A100, driver 525", [A100], "525.85.12", "conda", {}, "py312-torch210-cu128", "minor", ""),
    ("8 A100, driver 535", [A100] * 8, "535.161.08", "ubuntu22", {}, "py310-torch210-cu128", "minor", ""),
    ("A100 40 GB, driver 545", [A100_40], "545.23.08", "debian12", {}, "py311-torch210-cu128", "minor", ""),
    ("A100, driver 565", [A100], "565.57.01", "ubuntu24", {}, "py312-torch210-cu128", "minor", ""),
    ("A100, driver 570", [A100], "570.124.06", "ubuntu24", {}, "py312-torch210-cu128", "direct", ""),
    ("A100 in MIG", [A100], "580.95.05", "ubuntu22", {}, "py310-torch211-cu130", "direct", ""),
    ("A10, driver 555", [A10], "555.42.06", "conda", {}, "py312-torch210-cu128", "minor", ""),
    ("A40, Rocky 8", [A40], "550.90.07", "rocky8", {}, "py39-torch28-cu128", "minor", ""),
    ("A40, Rocky 9, driver 580", [A40], "580.95.05", "rocky9", {}, "py39-torch28-cu128", "direct", ""),
    ("RTX 3060, driver 575", [RTX3060], "575.64.03", "ubuntu24", {}, "py312-torch210-cu128", "direct", ""),
    ("RTX 3090, driver 580.65", [RTX3090], "580.65.06", "ubuntu24", {}, "py312-torch211-cu130", "direct", ""),
    ("RTX 3090, driver 580.95", [RTX3090], "580.95.05", "py313", {}, "py313-torch214-cu130", "direct", ""),
    ("RTX 3090, Ubuntu 20.04", [RTX3090], "580.95.05", "ubuntu20", {}, "py38-torch20-cu117", "direct", ""),
    # Ada
    ("RTX 4090, driver 520", [RTX4090], "520.61.05", "ubuntu20", {}, "py38-torch20-cu117", "direct", ""),
    ("RTX 4090, driver 550", [RTX4090], "550.54.15", "ubuntu22", {}, "py310-torch210-cu128", "minor", ""),
    ("RTX 4090, driver 590", [RTX4090], "590.44.01", "ubuntu24", {}, "py312-torch214-cu130", "direct", ""),
    ("L4, driver 535", [L4], "535.183.01", "debian12", {}, "py311-torch210-cu128", "minor", ""),
    ("4 L40S, driver 570", [L40S] * 4, "570.86.15", "ubuntu22", {}, "py310-torch210-cu128", "direct", ""),
    ("RTX 6000 Ada, driver 610", [ADA], "610.43.02", "conda", {}, "py312-torch215-cu132", "direct", ""),
    # Hopper
    ("H100, driver 535", [H100], "535.104.05", "debian12", {}, "py311-torch210-cu128", "minor", ""),
    ("H100, driver 525", [H100], "525.60.13", "ubuntu22", {}, "py310-torch210-cu128", "minor", ""),
    ("H100, driver 515", [H100], "515.105.01", "conda", {}, "cpu-py311", "cpu", "driver"),
    ("H100, Ubuntu 20.04", [H100], "535.104.05", "ubuntu20", {}, "py38-torch20-cu117", "cpu", "python"),
    ("4 H200, driver 580", [H200] * 4, "580.159.03", "debian12", {}, "py311-torch214-cu130", "direct", ""),
    ("H200, driver 595", [H200], "595.71.05", "py313", {}, "py313-torch215-cu132", "direct", ""),
    ("H200, driver 595 of before update 2", [H200], "595.45.04", "ubuntu24", {},
     "py312-torch214-cu130", "direct", ""),
    # Blackwell
    ("B200, driver 570", [B200], "570.133.20", "ubuntu24", {}, "py312-torch210-cu128", "direct", ""),
    ("B200, driver 550", [B200], "550.54.15", "ubuntu24", {}, "cpu-py312", "cpu", "gpu-driver"),
    ("B200, driver 580", [B200], "580.95.05", "ubuntu24", {}, "py312-torch214-cu130", "direct", ""),
    ("8 B300, driver 580", [B300] * 8, "580.95.05", "ubuntu22", {}, "py310-torch211-cu130", "direct", ""),
    ("B300, driver 570", [B300], "570.133.20", "ubuntu24", {}, "py312-torch210-cu128", "unverified", ""),
    ("RTX 5090, driver 570", [RTX5090], "570.124.06", "rocky9", {}, "py39-torch28-cu128", "direct", ""),
    ("RTX 5090, driver 565", [RTX5090], "565.57.01", "debian12", {}, "cpu-py311", "cpu", "gpu-driver"),
    ("RTX 5090, driver 575", [RTX5090], "575.51.03", "ubuntu24", {}, "py312-torch210-cu128", "direct", ""),
    ("RTX PRO 6000, driver 595", [BLACKWELL], "595.71.05", "debian12", {}, "py311-torch215-cu132", "direct", ""),
    # Mixed boxes
    ("1080 Ti and 4090", [GTX1080TI, RTX4090], "580.95.05", "ubuntu24", {}, "py312-torch27-cu126", "direct", ""),
    ("1080 Ti and 4090, driver 470", [GTX1080TI, RTX4090], "470.256.02", "conda", {},
     "py38-torch20-cu117", "minor", ""),
    ("1080 Ti and 5090", [GTX1080TI, RTX5090], "580.95.05", "ubuntu24", {}, "cpu-py312", "cpu", "gpu-code"),
    ("V100 and A100", [V100, A100], "580.95.05", "debian12", {}, "py311-torch210-cu128", "direct", ""),
    ("A100 and H100", [A100, H100], "580.95.05", "ubuntu24", {}, "py312-torch214-cu130", "direct", ""),
    ("3090 and P40", [RTX3090, P40], "550.54.15", "ubuntu22", {}, "py310-torch27-cu126", "minor", ""),
    ("3090 and B200, driver 550", [RTX3090, B200], "550.54.15", "ubuntu24", {}, "cpu-py312", "cpu", "gpu-driver"),
    ("K80 and A100", [K80, A100], "470.256.02", "conda", {}, "cpu-py311", "cpu", "gpu-code"),
    # Containers, WSL, what is hidden
    ("driver hidden, CUDA 12.4", [A100], "", "ubuntu22", {"cuda": "12.4"}, "py310-torch210-cu128", "unverified", ""),
    ("driver hidden, CUDA 13.0", [H100], "", "ubuntu24", {"cuda": "13.0"}, "py312-torch214-cu130", "unverified", ""),
    ("driver hidden, CUDA 11.4", [A100], "", "debian12", {"cuda": "11.4"}, "cpu-py311", "cpu", "driver"),
    ("no driver at all", [A100], "", "conda", {}, "cpu-py311", "cpu", "driver"),
    ("capability not told", ["Some GPU ?"], "580.95.05", "ubuntu24", {}, "py312-torch214-cu130", "unverified", ""),
    ("capability by its name", ["NVIDIA H200 ?"], "580.95.05", "ubuntu24", {},
     "py312-torch214-cu130", "unverified", ""),
    ("cuda-compat 13.0 over 535", [A100], "535.183.01", "ubuntu24", {"cuda": "13.0", "init": 0},
     "py312-torch214-cu130", "direct", ""),
    ("cuda-compat 12.8 over 470", [V100], "470.256.02", "ubuntu22", {"cuda": "12.8", "init": 0},
     "py310-torch210-cu128", "direct", ""),
    ("cuda-compat not asked", [A100], "535.183.01", "ubuntu24", {"cuda": "13.0"},
     "py312-torch214-cu130", "unverified", ""),
    ("cuda-compat refused", [RTX3090], "535.183.01", "ubuntu24", {"cuda": "13.0", "init": 804},
     "py312-torch210-cu128", "minor", ""),
    ("an image's old libcuda", [A100], "580.95.05", "ubuntu24", {"cuda": "12.4"},
     "py312-torch210-cu128", "minor", ""),
    ("WSL, Windows 572.83", [RTX4090], "572.83", "ubuntu24", {"cuda": "12.8", "wsl": True},
     "py312-torch210-cu128", "direct", ""),
    ("WSL, Windows 581", [RTX4090], "581.29", "ubuntu24", {"cuda": "13.0", "wsl": True},
     "py312-torch214-cu130", "direct", ""),
    # No profile, or the CPU by the machine's own nature
    ("CPU, Ubuntu 24.04", [], "", "ubuntu24", {}, "cpu-py312", "cpu", ""),
    ("CPU, Ubuntu 20.04", [], "", "ubuntu20", {}, "py38-torch20-cu117", "cpu", ""),
    ("CPU, Rocky 8", [], "", "rocky8", {}, "cpu-py39", "cpu", ""),
    ("CPU, no Python", [], "", "bare", {}, None, "", "python"),
    ("CPU, Python 3.14 only", [], "", "py314", {}, None, "", "python"),
    ("T4, Python 3.14 only", [T4], "580.95.05", "py314", {}, None, "", "python"),
    ("T4, Amazon Linux 2", [T4], "470.256.02", "amazon2", {}, None, "", "python"),
    ("T4, Amazon Linux 2, Python 3.8", [T4], "535.183.01", "amazon2+38", {}, "py38-torch20-cu117", "direct", ""),
    ("V100, CentOS 7", [V100], "535.183.01", "centos7", {}, None, "", "python"),
    ("Alpine", [], "", "debian12", {"libc": "musl", "glibc": ""}, None, "", "libc"),
    ("GB200", ["GB200 10.0"], "580.95.05", "ubuntu24", {"arch": "aarch64"}, None, "", "platform"),
    ("GH200", ["GH200 9.0"], "550.54.15", "ubuntu22", {"arch": "aarch64"}, None, "", "platform"),
    ("Jetson Orin", ["Orin 8.7"], "540.4.0", "ubuntu22", {"arch": "aarch64"}, None, "", "platform"),
    ("a Mac", [], "", "py313", {"system": "Darwin", "arch": "arm64", "glibc": ""}, None, "", "platform"),
    ("Windows", [], "", "py313", {"system": "Windows", "arch": "AMD64", "glibc": ""}, None, "", "platform"),
    ("small disk", [], "", "debian12", {"free": 1_000_000_000}, None, "", "disk"),
    ("small disk, A100", [A100], "580.95.05", "debian12", {"free": 3_000_000_000}, "cpu-py311", "cpu", "disk"),
]  # fmt: skip
