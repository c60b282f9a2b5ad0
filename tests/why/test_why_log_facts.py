"""What a log tells of its machine; what is only asked for is no fact."""

import pytest

from envdoc.doctor.why import document
from envdoc.doctor.why.log_facts import log_facts, same_machine, site_packages, together
from envdoc.doctor.why.reading import read_log


def facts_of(text):
    return log_facts(read_log(text).lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("but found huggingface-hub==2.4.0.", {"packages": {"huggingface-hub": "2.4.0"}}),
        ("torch==2.6.0+cu124\npeft==0.15.2", {"torch": "2.6.0+cu124", "packages": {"peft": "0.15.2"}}),
        ("[pip3] numpy==2.1.0", {"packages": {"numpy": "2.1.0"}}),
        ("PyTorch version (GPU?): 2.5.1+cu124 (True)", {"torch": "2.5.1+cu124"}),
        ("- `transformers` version: 4.57.1", {"packages": {"transformers": "4.57.1"}}),
        ("peft                     0.17.1", {"packages": {"peft": "0.17.1"}}),
        (
            "Successfully installed peft-0.17.1 torch-2.6.0+cu124",
            {"torch": "2.6.0+cu124", "packages": {"peft": "0.17.1"}},
        ),
        (
            "| NVIDIA-SMI 535.104.05   Driver Version: 535.104.05   CUDA Version: 12.2     |",
            {"driver": "535.104.05", "driver_cuda": "12.2"},
        ),
        (
            "NVIDIA GeForce RTX 5090 with CUDA capability sm_120 is not compatible",
            {"compute_capability": "12.0", "gpu": "GeForce RTX 5090"},
        ),
        ("/usr/local/lib/python3.11/dist-packages/x.py", {"python": "3.11"}),
        ("flash_attn_2_cuda.cpython-310-x86_64-linux-gnu.so", {"python": "3.10"}),
        ("Libc version: glibc-2.31", {"glibc": "2.31"}),
        ("LD_LIBRARY_PATH=/usr/local/cuda/lib64", {"env": {"LD_LIBRARY_PATH": "/usr/local/cuda/lib64"}}),
        ("C:\\Users\\me\\x.py", {"platform": "Windows"}),
        ("transformers>=4.55.0,<=5.2.0 is required for a normal functioning", {}),
        ("ERROR: No matching distribution found for torch==2.0.1", {}),
        ("pip install 'peft>=0.18.0'", {}),
        ("loss: 1.25 epoch: 0.5", {}),
    ],
)
def test_told(text, expected):
    """Each way in which a program prints a version, a driver, a GPU or a variable."""
    assert expected == facts_of(text)


def test_given_facts_win():
    """The log completes what is given and does not change it."""
    merged = together(
        {"packages": {"peft": "0.10.0"}, "python": "3.9"},
        {"packages": {"peft": "0.2.0", "trl": "0.9"}, "python": "3.11", "torch": "2.6"},
    )
    assert {"peft": "0.10.0", "trl": "0.9"} == merged["packages"]
    assert ("3.9", "2.6") == (merged["python"], merged["torch"])


def test_versions_in_the_log_decide():
    """The same line means another confidence with the versions that the log prints."""
    line = (
        "TypeError: TrainingArguments.__init__() got an unexpected keyword argument 'evaluation_strategy'\n"
    )
    new, old = (
        document(f"transformers=={v}\n{line}")["causes"][0]["confidence"] for v in ("5.1.0", "4.30.0")
    )
    assert new >= 0.9
    assert old < 0.5


def test_site_packages_folders():
    """Of the paths in a log, those of packages; the most frequent first."""
    log = (
        '  File "/opt/a/lib/python3.11/site-packages/peft/x.py"\n' * 2
        + "/usr/lib/python3/dist-packages/numpy/y.py\n"
    )
    lines = read_log(log).lines
    assert {"/opt/a/lib/python3.11/site-packages", "/usr/lib/python3/dist-packages"} == set(
        site_packages(lines)
    )


def test_whether_a_log_is_of_this_machine():
    """Versions that are the same, that differ, and none."""
    here = {"packages": [{"name": "torch", "version": "2.6.0"}, {"name": "peft", "version": "0.15.2"}]}
    assert True is same_machine({"torch": "2.6.0+cu124"}, here)
    assert False is same_machine({"torch": "2.6.0", "packages": {"peft": "0.2.0"}}, here)
    assert None is same_machine({}, here)


def test_the_facts_of_this_machine_are_used_where_it_looks_like_it():
    """`here` is asked with the folders and what is told; given facts leave it unasked."""
    asked = []

    def here(folders, told):
        asked.append((folders, told))
        return {"packages": [{"name": "transformers", "version": "5.1.0"}]}, "those of this machine"

    log = (
        "/v/lib/python3.11/site-packages/transformers/x.py\n"
        "TypeError: TrainingArguments.__init__() got an unexpected keyword argument 'evaluation_strategy'"
    )
    found = document(log, None, here)
    assert [(["/v/lib/python3.11/site-packages"], {"python": "3.11"})] == asked
    assert "those of this machine" == found["facts_from"]
    assert found["causes"][0]["confidence"] >= 0.9
    assert any("transformers 5.1.0" in line for line in found["causes"][0]["evidence"])
    document(log, {"python": "3.8"}, here)
    assert 1 == len(asked)
