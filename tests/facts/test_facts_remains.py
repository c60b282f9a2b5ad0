"""What installs leave behind, and floors in code, in folders that are built for it."""

import pytest

from envdoc.doctor.facts.code_floors import code_floors
from envdoc.doctor.facts.records import integrity
from envdoc.doctor.facts.remains import remains
from envdoc.doctor.facts.snapshot import CodeFloor, CondaOwned, Remains, StaleFiles

RECORD = (
    "peft/__init__.py,,0\npeft/config.py,,0\npeft-1.0.dist-info/METADATA,,9\npeft-1.0.dist-info/RECORD,,\n"
)


@pytest.fixture
def site(tmp_path):
    """A site folder with a whole peft 1.0."""
    folder = tmp_path / "site"
    (folder / "peft" / "__pycache__").mkdir(parents=True)
    (folder / "peft-1.0.dist-info").mkdir()
    (folder / "peft" / "__init__.py").touch()
    (folder / "peft" / "config.py").touch()
    (folder / "peft" / "__pycache__" / "config.cpython-311.pyc").touch()
    (folder / "peft-1.0.dist-info" / "METADATA").write_text("Name: peft\n")
    (folder / "peft-1.0.dist-info" / "RECORD").write_text(RECORD)
    return folder


def test_whole_environment_leaves_nothing(site):
    """A package as it was installed, with the byte code of its modules."""
    assert Remains() == remains([str(site)], str(site.parent)) == remains([str(site)], "", quick=True)


def test_folders_set_aside(site):
    """Renamed folders count; a renamed dist-info is told by the scan of packages."""
    (site / "~eft").mkdir()
    (site / "~eft-0.9.dist-info").mkdir()
    (site / "pip-uninstall-abc").mkdir()
    found = remains([str(site)], "", quick=True)
    assert (str(site / "pip-uninstall-abc"), str(site / "~eft")) == found.set_aside


def test_links_into_nothing(site, tmp_path):
    """A link to a folder or to the entry file alone, whose target is gone; a link that leads somewhere is well."""
    (site / "peft" / "__init__.py").unlink()
    (site / "peft" / "__init__.py").symlink_to(tmp_path / "gone.py")
    (site / "numpy").symlink_to(tmp_path / "gone")
    (site / "torch").symlink_to(site / "peft")
    found = remains([str(site)], "", quick=True)
    assert {str(site / "peft" / "__init__.py"), str(site / "numpy"), str(site / "torch/__init__.py")} == set(
        found.dangling
    )


@pytest.mark.parametrize("text", ["", "\n", RECORD[:30], RECORD + "peft/co"])
def test_partial_record(site, text):
    """Empty, without its own line, or with half a line at its end."""
    record = site / "peft-1.0.dist-info" / "RECORD"
    record.write_text(text)
    assert ((str(record),), ()) == (
        remains([str(site)], "").partial_records,
        remains([str(site)], "", quick=True).partial_records,
    )


def test_modules_of_another_release(site):
    """A module that no RECORD lists; nothing is said of a package whose RECORD does not list its entry file."""
    (site / "peft" / "tuners").mkdir()
    (site / "peft" / "tuners" / "old.py").touch()
    (site / "trl").mkdir()
    (site / "trl" / "__init__.py").touch()
    (site / "trl-1.0.dist-info").mkdir()
    assert (StaleFiles("peft", str(site / "peft"), 1, ("peft/tuners/old.py",)),) == remains(
        [str(site)], ""
    ).stale


def test_conda_list(tmp_path):
    """Names and versions of the training stack, from the names of the files in conda-meta."""
    meta = tmp_path / "conda-meta"
    meta.mkdir()
    for name in (
        "pytorch-2.5.1-py3.12_cuda12.4_cudnn9.1.0_0.json",
        "numpy-1.26.4-py312h2809609_0.json",
        "history",
    ):
        (meta / name).touch()
    (meta / "ca-certificates-2024.7.2-h06a4308_0.json").touch()
    assert (CondaOwned("numpy", "1.26.4"), CondaOwned("pytorch", "2.5.1")) == remains([], str(tmp_path)).conda


def test_folder_that_is_gone(tmp_path):
    """Nothing is raised for a search path that leads nowhere."""
    assert Remains() == remains([str(tmp_path / "gone")], str(tmp_path / "gone"))


def test_library_that_two_wheels_recorded(tmp_path):
    """Of NVIDIA's folder only a library counts; the empty __init__.py is in every wheel."""
    for name in ("nvidia_cublas-12.9", "nvidia_cublas_cu12-12.9", "nvidia_nccl_cu12-2.2"):
        (tmp_path / f"{name}.dist-info").mkdir()
        lines = ["nvidia/__init__.py,,1", *(["nvidia/lib/libcublas.so.12,,9"] if "cublas" in name else [])]
        (tmp_path / f"{name}.dist-info" / "RECORD").write_text("\n".join(lines) + "\n")
    (shared,) = integrity([str(tmp_path)]).shared
    assert (("nvidia-cublas", "12.9"), ("nvidia-cublas-cu12", "12.9")) == (shared.first, shared.second)


def test_floors_in_code(tmp_path):
    """Constants as transformers, peft and trl write them; of packages that are not installed nothing is told."""
    sources = {
        "transformers/utils/import_utils.py": 'TORCHAO_MIN_VERSION = "0.15.0"\nHQQ_MIN_VERSION = "0.2.1"\n',
        "transformers/integrations/peft.py": 'MIN_PEFT_VERSION = "0.20.0"\n',
        "peft/import_utils.py": 'def f():\n    TORCHAO_MINIMUM_VERSION = packaging.version.parse("0.16.0")\n',
        "trl/import_utils.py": 'LIGER_KERNEL_MIN_VERSION = "0.8.2"\n',
    }
    for name, text in sources.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    versions = {"transformers": "5.23.0", "peft": "0.21.2", "torchao": "0.14.1"}
    assert (
        CodeFloor(
            "transformers",
            "5.23.0",
            "torchao",
            "0.15.0",
            "transformers/utils/import_utils.py: TORCHAO_MIN_VERSION",
        ),
        CodeFloor(
            "transformers", "5.23.0", "peft", "0.20.0", "transformers/integrations/peft.py: MIN_PEFT_VERSION"
        ),
        CodeFloor("peft", "0.21.2", "torchao", "0.16.0", "peft/import_utils.py: TORCHAO_MINIMUM_VERSION"),
    ) == code_floors([str(tmp_path)], versions)
    assert () == code_floors([str(tmp_path / "gone")], versions)
