"""The scan of installed distributions: equal to importlib.metadata on real ones, unmoved by hostile ones."""

import json
import subprocess

import pytest

from envdoc.doctor.facts.packages import normalised, scan


def distribution(site, name, version, metadata=None, **files):
    """A dist-info folder; METADATA is written where it is given or made from name and version; `files` besides."""
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir(parents=True)
    if metadata is None:
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nA description.\n"
    if metadata is not False:
        (folder / "METADATA").write_bytes(metadata if isinstance(metadata, bytes) else metadata.encode())
    for file, text in files.items():
        (folder / file.replace("__", ".")).write_text(text)
    return folder


def test_the_patient_as_importlib_metadata_sees_it(patient):
    """Names, versions, requirements and Requires-Python of every distribution are the same."""
    code = (
        "import json, sys; from importlib.metadata import distributions\n"
        "print(json.dumps([sys.path[1:], sorted([d.metadata['Name'], d.version, d.requires or [],"
        " d.metadata['Requires-Python'] or ''] for d in distributions())]))"
    )
    run = subprocess.run([str(patient), "-I", "-c", code], capture_output=True, text=True, check=True)
    path, expected = json.loads(run.stdout)
    packages = scan(path)
    assert len(expected) > 30
    assert sorted([normalised(n), v, r, p] for n, v, r, p in expected) == sorted(
        [p.name, p.version, list(p.requires), p.requires_python] for p in packages
    )
    assert [] == [p for p in packages if p.problem]


def test_the_patients_modules_agree_with_their_metadata(patient):
    """The version in the source is found for the packages that have one, and is that of the metadata."""
    site = subprocess.run(
        [str(patient), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    found = {p.name: (p.version, p.module_version) for p in scan([site]) if p.module_version}
    assert {"accelerate", "bitsandbytes", "datasets", "numpy", "peft", "transformers"} <= set(found)
    assert [] == [name for name, (version, module) in found.items() if version != module]


@pytest.mark.parametrize(
    ("metadata", "version", "problem"),
    [
        (False, "1.0", "its METADATA is missing"),
        (b"", "1.0", "its METADATA is empty"),
        (b"\n \n", "1.0", "its METADATA is empty"),
        (b"Name: peft\n\n", "1.0", "its METADATA has no Version"),
        (b"Version: 2.0\n\n", "2.0", "its METADATA has no Name"),
        (b"\xff\xfe\x00garbage\x00", "1.0", "its METADATA has no Name and no Version"),
        (b"Name: peft\nVersion: 2.0\nRequires-Dist: caf\xe9\n\n", "2.0", "its METADATA is not UTF-8"),
        (b"x" * 10_000_000, "1.0", "its METADATA has no Name and no Version"),
        (b"Name: peft\r\nVersion: 2.0\r\n\r\nName: other\r\n", "2.0", ""),
        (b"Name: peft\nVersion: 2.0\nAuthor: Andr\xe9\n\n", "2.0", ""),
        (b"Name: peft\nVersion: 2.0\n\n" + b"y" * 10_000_000, "2.0", ""),
        (
            b"Name: peft\nVersion: 2.0\nLicense: " + b"line\n        " * 20_000 + b"\nRequires-Python: >=3.9",
            "2.0",
            "",
        ),
    ],
)
def test_hostile_metadata_survives(tmp_path, metadata, version, problem):
    """The package is named in any case, by its folder where need be, and what is wrong is told."""
    distribution(tmp_path, "peft", "1.0", metadata)
    (package,) = scan([str(tmp_path)])
    assert ("peft", version, problem) == (package.name, package.version, package.problem)


def test_metadata_that_is_a_folder(tmp_path):
    """Even that is a sentence."""
    (distribution(tmp_path, "peft", "1.0", False) / "METADATA").mkdir()
    assert "its METADATA cannot be read (Is a directory)" == scan([str(tmp_path)])[0].problem


def test_headers_after_a_long_license_are_read(tmp_path):
    """Headers may take more than the first block that is read (matplotlib's take 76 kB)."""
    distribution(
        tmp_path,
        "a",
        "1",
        "Name: a\nVersion: 1\nLicense: x\n" + "        y\n" * 10_000 + "Requires-Dist: b\n\n",
    )
    assert ("b",) == scan([str(tmp_path)])[0].requires


def test_the_first_on_the_search_path_comes_first(tmp_path):
    """Of two distributions of one name, that of the earlier folder is the package; both are listed."""
    distribution(tmp_path / "overlay", "transformers", "4.30.0")
    distribution(tmp_path / "site", "Transformers", "5.23.0")
    packages = scan([str(tmp_path / "overlay"), str(tmp_path / "missing"), str(tmp_path / "site")])
    assert [("transformers", "4.30.0"), ("transformers", "5.23.0")] == [(p.name, p.version) for p in packages]
    assert str(tmp_path / "overlay") == packages[0].location


def test_code_laid_over_the_installed_version_is_told(tmp_path):
    """A folder in PYTHONPATH without metadata is what an import takes: its version stands beside the metadata's."""
    distribution(tmp_path / "site", "transformers", "5.23.0")
    for folder, version in (("overlay", "4.30.0"), ("site", "5.23.0")):
        (tmp_path / folder / "transformers").mkdir(parents=True)
        (tmp_path / folder / "transformers" / "__init__.py").write_text(f'__version__ = "{version}"\n')
    (package,) = scan([str(tmp_path / "overlay"), str(tmp_path / "site")])
    assert ("5.23.0", "4.30.0") == (package.version, package.module_version)


def test_numpy_of_the_versioneer_years(tmp_path):
    """numpy 1.24 keeps its version as JSON in _version.py."""
    distribution(tmp_path, "numpy", "1.24.4")
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text("from .version import __version__\n")
    (tmp_path / "numpy" / "_version.py").write_text(
        "version_json = '''\n{\n \"version\": \"1.24.4\"\n}\n'''\n"
    )
    assert "1.24.4" == scan([str(tmp_path)])[0].module_version


def test_editable_installs(tmp_path):
    """PEP 610 tells them; one whose source is gone says so."""
    source = tmp_path / "source"
    source.mkdir()
    for name, folder in (("kept", source), ("gone", tmp_path / "deleted")):
        told = json.dumps({"url": folder.as_uri(), "dir_info": {"editable": True}})
        distribution(tmp_path / "site", name, "1.0", direct_url__json=told)
    distribution(
        tmp_path / "site", "archive", "1.0", direct_url__json='{"url": "file:///x", "archive_info": {}}'
    )
    distribution(tmp_path / "site", "odd", "1.0", direct_url__json='{"dir_info": {"editable"')
    found = {p.name: (p.editable, p.problem) for p in scan([str(tmp_path / "site")])}
    assert {
        "archive": (False, ""),
        "gone": (True, f"its editable source `{tmp_path / 'deleted'}` is gone"),
        "kept": (True, ""),
        "odd": (False, ""),
    } == found


def test_a_real_editable_install_of_old_setuptools(tmp_path):
    """An .egg-link leads to the source's own egg-info, whose unconditional requirements count."""
    source, site = tmp_path / "source", tmp_path / "site"
    (source / "my_tool.egg-info").mkdir(parents=True)
    (source / "my_tool.egg-info" / "PKG-INFO").write_text("Name: my-tool\nVersion: 0.3\n\n")
    (source / "my_tool.egg-info" / "requires.txt").write_text("torch>=2\n\n[dev]\npytest\n")
    site.mkdir()
    (site / "my-tool.egg-link").write_text(f"{source}\n.")
    (site / "gone.egg-link").write_text("/nonexistent/source\n.")
    gone, tool = scan([str(site)])
    assert ("my-tool", "0.3", ("torch>=2",), True, "") == (
        tool.name,
        tool.version,
        tool.requires,
        tool.editable,
        tool.problem,
    )
    assert "its editable source `/nonexistent/source` is gone or has no metadata" == gone.problem


def test_egg_info_as_a_folder_a_file_and_an_egg(tmp_path):
    """The three shapes that setuptools and distutils left behind are packages too."""
    (tmp_path / "a.egg-info").mkdir()
    (tmp_path / "a.egg-info" / "PKG-INFO").write_text("Name: a\nVersion: 1\n")
    (tmp_path / "b-2.0-py3.8.egg-info").write_text("Name: b\nVersion: 2.0\n")
    egg = tmp_path / "c-3.0-py3.8.egg"
    (egg / "EGG-INFO").mkdir(parents=True)
    (egg / "EGG-INFO" / "PKG-INFO").write_text("Name: c\nVersion: 3.0\n")
    found = [(p.name, p.version, p.problem) for p in scan([str(tmp_path), str(egg)])]
    assert [("a", "1", ""), ("b", "2.0", ""), ("c", "3.0", "")] == found


def test_the_leftover_of_an_interrupted_pip(tmp_path):
    """`~orch` is no torch: it is listed under its own name with the reason."""
    distribution(tmp_path, "~orch", "2.4.0")
    (package,) = scan([str(tmp_path)])
    assert ("~orch", "2.4.0") == (package.name, package.version)
    assert "interrupted `pip install`" in package.problem


def test_installer_is_told(tmp_path):
    """pip, uv or conda, as INSTALLER has it."""
    distribution(tmp_path, "a", "1", INSTALLER="uv\n")
    assert "uv" == scan([str(tmp_path)])[0].installer


def test_names_are_compared_as_pep_503_does():
    """Case and separators do not count."""
    assert "nvidia-cublas-cu12" == normalised("Nvidia_cublas.-cu12")
