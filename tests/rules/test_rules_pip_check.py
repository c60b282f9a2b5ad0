"""Missing and conflicting requirements are judged as `pip check` judges them, on a real environment's metadata."""

import re
import shutil
import subprocess

import pytest

from envdoc.doctor.facts.collect import collect
from envdoc.doctor.finding import Target
from envdoc.doctor.rules.registry import judge
from envdoc.doctor.rules.requirements import needs
from envdoc.doctor.tables.versions import satisfies

pytestmark = pytest.mark.slow  # makes an environment

MISSING = re.compile(r"^(\S+) (\S+) requires (\S+), which is not installed\.$")
CONFLICT = re.compile(r"^(\S+) (\S+) has requirement ([\w.-]+).*, but you have (\S+) (\S+)\.$")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory, patient):
    """A venv with the metadata of the training environment, some of it removed or of another version."""
    folder = tmp_path_factory.mktemp("damaged")
    subprocess.run([str(patient), "-m", "venv", str(folder)], check=True, timeout=120)
    (source,) = patient.parent.parent.glob("lib/python3*/site-packages")
    (target,) = folder.glob("lib/python3*/site-packages")
    for info in source.glob("*.dist-info"):
        if not (target / info.name).exists() and not info.name.startswith(
            ("pip-", "setuptools-", "safetensors-")
        ):
            (target / info.name).mkdir()
            shutil.copy(info / "METADATA", target / info.name / "METADATA")
    edit(target, "huggingface_hub", r"^Version: .*$", "Version: 0.10.0")
    edit(target, "numpy", r"^Version: .*$", "Version: 1.16.0")
    edit(target, "peft", r"^Requires-Dist: tqdm.*$", "Requires-Dist: tqdm>=999; python_version > '3'")
    edit(target, "click", r"^Version: .*$", "Version: 1.0rc1")
    return folder / "bin" / "python"


def edit(site, name, pattern, replacement):
    """Change the METADATA of one distribution."""
    (metadata,) = site.glob(f"{name}-*.dist-info/METADATA")
    text, count = re.subn(pattern, replacement, metadata.read_text("utf-8"), count=1, flags=re.MULTILINE)
    assert count == 1, f"{name}: {pattern}"
    metadata.write_text(text, "utf-8")


def normal(name):
    """The name as packaging compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_same_verdicts_as_pip(damaged):
    """Every line of `pip check` is found, and nothing besides."""
    lines = subprocess.run(
        [str(damaged), "-m", "pip", "check"], stdout=subprocess.PIPE, text=True, timeout=120
    ).stdout.splitlines()
    said = {(normal(m.group(1)), normal(m.group(3)), "missing") for m in map(MISSING.match, lines) if m}
    said |= {(normal(m.group(1)), normal(m.group(3)), "conflict") for m in map(CONFLICT.match, lines) if m}
    assert len(lines) == len(said) > 5

    snapshot = collect(Target(str(damaged), "test"), quick=True)
    found = needs(snapshot.packages, snapshot.interpreter)
    assert said == {
        (need.owner, need.name, "missing" if need.found is None else "conflict")
        for need in found
        if need.found is None or not satisfies(need.found, need.specifier)
    }


def test_training_stack_is_told_apart(damaged):
    """What a run needs is an error with a remedy; transformers' refusals are among them."""
    checks = judge(collect(Target(str(damaged), "test"), quick=True))
    titles = {check.code: check.title for check in checks if check.failed and "transformers" in check.affects}
    assert re.fullmatch(r"transformers [\d.]+ lacks safetensors>=[\d.]+", titles["PKG001"])
    assert {"error"} == {c.severity.value for c in checks if c.failed and c.code == "PKG001"}
