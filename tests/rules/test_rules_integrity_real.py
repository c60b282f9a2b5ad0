"""Real environments that are broken file by file: a hard-linked clone each, judged as `envdoc check` does."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from envdoc.doctor.facts.binaries import torch_build
from envdoc.doctor.facts.interpreter import describe
from envdoc.doctor.facts.packages import scan
from envdoc.doctor.facts.records import integrity
from envdoc.doctor.facts.snapshot import Snapshot, from_json
from envdoc.doctor.rules.registry import all_rules, judge, selected

CODES = (*(f"PKG{number:03d}" for number in range(11, 17)), "TOR002")


@pytest.fixture(scope="module")
def home_of_patient(patient):
    """The folder of the patient's environment and the patient's description of itself."""
    told = describe(str(patient))
    assert told.error is None
    return Path(told.prefix), told


@pytest.fixture
def clone(home_of_patient, tmp_path_factory):
    """The site-packages of a hard-linked clone of the patient, removed afterwards.

    It lies beside the patient, since links cannot cross file systems; files are replaced there and never written to.
    """
    original, told = home_of_patient
    (site,) = told.site_packages
    copy = original.parent / f".clone-{os.getpid()}-{tmp_path_factory.mktemp('clone').name}"
    subprocess.run(["cp", "-al", site, str(copy)], check=True, timeout=120)
    yield copy
    shutil.rmtree(copy)


def found(site, interpreter, quick=False, deep=False):
    """What the rules about installed files say: code, severity, first affected, title."""
    path = [str(site) if entry in interpreter.site_packages else entry for entry in interpreter.sys_path]
    snapshot = Snapshot(
        interpreter=interpreter,
        packages=scan(path),
        torch=torch_build(path),
        integrity=integrity(path, quick, deep),
    )
    assert snapshot == from_json(snapshot.to_json())
    checks = judge(snapshot, selected(all_rules(), CODES))
    assert set(CODES) == {check.code for check in checks}
    assert [] == [check.detail for check in checks if check.status.value == "crashed"]
    return [(c.code, c.severity.value, *c.affects[:1], c.title) for c in checks if c.failed]


def replace(path, content):
    """Another file under that name, so that the original of the hard link keeps its content."""
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("depth", [{}, {"quick": True}, {"deep": True}], ids=str)
def test_whole_environments_pass(home_of_patient, depth):
    """The patient and the environment that runs the tests have no finding at any depth."""
    _, told = home_of_patient
    assert [] == found(told.site_packages[0], told, **depth)
    own = describe(sys.executable)
    assert [] == found(own.site_packages[0], own, **depth)


@pytest.mark.parametrize("quick", [False, True])
def test_a_library_that_is_cut_short(clone, home_of_patient, quick):
    """The extension of safetensors as an interrupted unpack leaves it is named, in --quick too."""
    (library,) = clone.glob("safetensors/*.so")
    replace(library, library.read_bytes()[:4096])
    ((code, severity, package, title),) = found(clone, home_of_patient[1], quick=quick)
    assert ("PKG011", "error", "safetensors") == (code, severity, package)
    assert re.fullmatch(r"safetensors [\d.]+: one file missing or not as installed", title)


def test_torch_that_is_cut_short_is_one_finding(clone, home_of_patient):
    """libtorch_cpu.so is told by the rule about torch alone; a library that this rule does not read, by RECORD."""
    libraries = clone / "torch" / "lib"
    whole = (libraries / "libshm.so").read_bytes()
    replace(libraries / "libshm.so", whole[:1000])
    assert [("PKG011", "error", "torch")] == [entry[:3] for entry in found(clone, home_of_patient[1])]
    with (libraries / "libtorch_cpu.so").open("rb") as file:
        replace(libraries / "libtorch_cpu.so", file.read(1 << 20))
    assert [("TOR002", "error", "torch")] == [entry[:3] for entry in found(clone, home_of_patient[1])]


def test_missing_and_edited_code(clone, home_of_patient):
    """A module that is gone is an error; one that somebody edited is a warning; tests that are gone are nothing."""
    (clone / "peft" / "config.py").unlink()
    trainer = clone / "transformers" / "trainer.py"
    replace(trainer, trainer.read_bytes() + b"# mine\n")
    shutil.rmtree(clone / "numpy" / "tests")
    assert [("PKG011", "error", "peft"), ("PKG011", "warning", "transformers")] == sorted(
        entry[:3] for entry in found(clone, home_of_patient[1])
    )


def test_contents_are_compared_by_deep_alone(clone, home_of_patient):
    """A byte that flipped leaves the size as it was; only the hash tells."""
    (library,) = clone.glob("tokenizers/*.so")
    content = bytearray(library.read_bytes())
    content[len(content) // 2] ^= 1
    replace(library, bytes(content))
    assert [] == found(clone, home_of_patient[1])
    assert [("PKG011", "error", "tokenizers")] == [
        entry[:3] for entry in found(clone, home_of_patient[1], deep=True)
    ]


def test_record_that_is_gone(clone, home_of_patient):
    """A package without RECORD is named; with conda as its installer it is not."""
    (record,) = clone.glob("peft-*.dist-info/RECORD")
    record.unlink()
    assert [("PKG012", "warning", "peft")] == [entry[:3] for entry in found(clone, home_of_patient[1])]
    replace(record.with_name("INSTALLER"), b"conda\n")
    assert [] == found(clone, home_of_patient[1])


@pytest.mark.parametrize("quick", [False, True])
def test_folder_without_init(clone, home_of_patient, quick):
    """bitsandbytes without __init__.py is an empty namespace, whether its dist-info is there or not."""
    (clone / "bitsandbytes" / "__init__.py").unlink()
    assert [("PKG013", "error", "bitsandbytes")] == [
        entry[:3] for entry in found(clone, home_of_patient[1], quick=quick)
    ]
    (info,) = clone.glob("bitsandbytes-*.dist-info")
    shutil.rmtree(info)
    assert [("PKG013", "warning")] == [entry[:2] for entry in found(clone, home_of_patient[1], quick=quick)]


def test_editable_install_of_a_folder_that_was_deleted(clone, home_of_patient, tmp_path):
    """One finding names the install, not one a file that is missing with it; a folder that is there is well."""
    shutil.rmtree(clone / "peft")
    path_file = clone / "__editable__.peft-0.21.2.pth"
    path_file.write_text(f"{tmp_path / 'gone'}\n")
    ((code, severity, package, title),) = found(clone, home_of_patient[1])
    assert ("PKG014", "error", "peft") == (code, severity, package)
    assert "Editable install of peft leads nowhere" == title
    path_file.write_text(f"# a comment\n\n{tmp_path}\nimport os; os.getpid()\n")
    assert ["PKG011"] == [entry[0] for entry in found(clone, home_of_patient[1])]


def test_finder_of_an_editable_install(clone, home_of_patient, tmp_path):
    """The mapping of setuptools' finder is followed; a finder that is gone breaks every start of Python."""
    (clone / "__editable__.mine-1.0.pth").write_text(
        "import __editable___mine_1_0_finder; __editable___mine_1_0_finder.install()"
    )
    finder = clone / "__editable___mine_1_0_finder.py"
    for target, expected in ((tmp_path, []), (tmp_path / "gone", ["PKG014"])):
        finder.write_text(f"MAPPING: dict[str, str] = {{'mine': {str(target)!r}}}\n")
        assert expected == [entry[0] for entry in found(clone, home_of_patient[1])]
    finder.unlink()
    assert ["PKG014"] == [entry[0] for entry in found(clone, home_of_patient[1])]


def test_two_distributions_with_one_import_name(clone, home_of_patient):
    """A second distribution that recorded the same modules is named; a shared empty __init__.py is no fault."""
    (info,) = clone.glob("xxhash-*.dist-info")
    shutil.copytree(info, clone / "xxhash_fork-9.0.dist-info")
    metadata = clone / "xxhash_fork-9.0.dist-info" / "METADATA"
    replace(metadata, b"Metadata-Version: 2.1\nName: xxhash-fork\nVersion: 9.0\n\n")
    ((code, _, _, title),) = found(clone, home_of_patient[1])
    assert "PKG015" == code
    assert re.fullmatch(r"xxhash [\d.]+ and xxhash-fork 9.0 both own xxhash/", title)


def test_wheel_of_another_python_or_processor(clone, home_of_patient):
    """numpy built for Python 3.10, and pyarrow for ARM, are named."""
    for name, was, becomes in (("numpy", b"cp311-cp311", b"cp310-cp310"), ("pyarrow", b"x86_64", b"aarch64")):
        (wheel,) = clone.glob(f"{name}-*.dist-info/WHEEL")
        replace(wheel, wheel.read_bytes().replace(was, becomes))
    said = [entry for entry in found(clone, home_of_patient[1]) if entry[0] == "PKG016"]
    assert ["numpy", "pyarrow"] == sorted(entry[2] for entry in said)
    assert {"error"} == {entry[1] for entry in said}


def test_hostile_records(tmp_path):
    """A RECORD of garbage, and one that leads out of the folder or names a device, ends nothing and reads nothing."""
    for number, text in enumerate(
        (
            b'\xff\xfe\x00,,,,\n"unclosed,sha256=x,3\n',
            b"../../../../etc/passwd,sha256=x,1\n/etc/passwd,sha256=x,1\na/../../b,sha256=x,1\n",
            b"x" * 100_000 + b",sha256=x,5\n",
            b"fifo,sha256=x,0\n",
        )
    ):
        folder = tmp_path / f"a{number}-1.dist-info"
        folder.mkdir()
        (folder / "RECORD").write_bytes(text)
    os.mkfifo(tmp_path / "fifo")
    told = integrity([str(tmp_path)], deep=True)
    assert [("a0", 0), ("a1", 0), ("a2", 1), ("a3", 0)] == [
        (d.name, d.fault_count) for d in told.distributions
    ]


def test_a_file_that_two_packages_wrote_is_not_damaged(tmp_path):
    """Of two packages with one file the later one's content is there: it fits its RECORD, and the other is no fault."""
    for name, size in (("a", 3), ("b", 4)):
        folder = tmp_path / f"{name}-1.dist-info"
        folder.mkdir()
        (folder / "RECORD").write_text(f"shared/data.py,sha256=x,{size}\n")
    (tmp_path / "shared").mkdir()
    for content, expected in ((b"1234", [0, 0]), (b"12345", [1, 1])):
        (tmp_path / "shared" / "data.py").write_bytes(content)
        assert expected == [d.fault_count for d in integrity([str(tmp_path)]).distributions]


def test_a_certificate_that_was_added_is_no_damage(tmp_path):
    """A company's own certificate in certifi's bundle is there on purpose."""
    folder = tmp_path / "certifi-1.dist-info"
    folder.mkdir()
    (folder / "RECORD").write_text("certifi/cacert.pem,sha256=x,3\n")
    (tmp_path / "certifi").mkdir()
    (tmp_path / "certifi" / "cacert.pem").write_bytes(b"old and new")
    assert [(1, 0)] == [(d.files_checked, d.fault_count) for d in integrity([str(tmp_path)]).distributions]
