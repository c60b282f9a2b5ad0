"""scripts/lock: what it writes, and that it writes nothing where a model did not train."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from envdoc.lockfiles import FOLDER

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
tomllib = pytest.importorskip("tomllib", reason="scripts/lock needs Python 3.11")

from locking import page, prove, table  # noqa: E402
from locking.children import LockError  # noqa: E402

ENTRY = {"title": "t", "python": "3.12", "torch": "2.12.0", "cuda": "13.0", "download_bytes": 1234567}


def test_the_table_of_the_page_is_that_of_the_profiles():
    """docs/locks.md is never older than profiles.toml (`scripts/lock --page` writes it)."""
    text = (ROOT / "docs" / "locks.md").read_text(encoding="utf-8")
    profiles = tomllib.loads((ROOT / "lockfiles" / "profiles.toml").read_text(encoding="utf-8"))

    assert page.table(profiles) == text.split(page.BEGIN + "\n")[1].split(page.END)[0]


def test_a_changed_entry_leaves_every_other_line_as_it_was():
    """Comments, order and the other entries stay; the same values give the same bytes."""
    text = (FOLDER / "profiles.toml").read_text(encoding="utf-8")
    changed = table.put(text, "cpu-py311", {"date": "2030-01-01"})
    before, after = text.splitlines(), changed.splitlines()

    assert [number for number, line in enumerate(before) if line != after[number]] == [
        number for number, line in enumerate(after) if line == 'date = "2030-01-01"'
    ]
    assert len(before) == len(after)
    assert changed == table.put(changed, "cpu-py311", {"date": "2030-01-01"})
    for name, entry in tomllib.loads(text).items():
        assert text == table.put(text, name, entry)


def test_a_new_entry_comes_before_those_with_an_older_torch():
    """And behind those with a newer one; its keys stand in the order of all others."""
    text = (
        '# head\n\n[new]\ntorch = "2.14.1"\ncuda = "13.0"\n\n# of old\n[old]\ntorch = "2.11.0"\ncuda = "13.0"\n\n'
        '[cpu]\ntorch = "2.13.0"\ncuda = ""\n'
    )
    changed = table.put(text, "between", ENTRY)

    assert ["new", "between", "old", "cpu"] == list(tomllib.loads(changed))
    assert ENTRY == tomllib.loads(changed)["between"]
    assert "download_bytes = 1_234_567\n\n# of old\n[old]" in changed


def receipt(losses, real=True):
    """What `envdoc train` would have written."""
    return {
        "training": {"losses": [[step, loss] for step, loss in enumerate(losses, 1)]},
        "proof": {"real": real, "checks": [{"name": "lora_B", "ok": real}]},
        "environment": {"gpu": None},
    }


GOOD = [7.5 - step / 10 for step in range(15)]


@pytest.mark.parametrize(
    "losses, real, verified, words",
    [
        (GOOD[:14], True, True, "14 steps of 15"),
        ([*GOOD[:14], float("nan")], True, True, "with losses"),
        (GOOD[::-1], True, True, "learnt nothing"),
        (GOOD, False, True, "adapter is not real: lora_B"),
        (GOOD, True, False, "adapter is not real: keys"),
    ],
)
def test_what_is_no_proof(losses, real, verified, words):
    """Too few steps, a loss that is no number or does not fall, an adapter that either judge refuses."""
    verdict = {"real": verified, "checks": [{"name": "keys", "ok": verified}]}
    with pytest.raises(LockError, match=words):
        prove.judge(receipt(losses, real), verdict, 1.0)
    whole = prove.judge(receipt(GOOD), {"real": True, "checks": []}, 12.4)
    assert "envdoc train: 15 steps on cpu, loss 7.500 to 6.100, adapter verified (12 s)" == whole.sentence()


def test_nothing_is_written_where_the_stack_cannot_train(tmp_path):
    """A stack that resolves, installs, passes `pip check` and imports, and holds nothing that trains: no lock."""
    folder = tmp_path / "lockfiles"
    folder.mkdir()
    shutil.copy(FOLDER / "profiles.toml", folder)
    (folder / "cpu-py311.in").write_text("packaging\n")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "lock"), "cpu-py311", "--upgrade", "--folder", str(folder),
         "--python", sys.executable, "--work", str(tmp_path)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip

    assert 1 == done.returncode, done.stdout
    assert "has no torch, transformers, peft, so nothing can be trained with it" in done.stderr
    assert "Nothing was written for this lock." in done.stderr
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert [folder] == list(tmp_path.iterdir())


def test_a_broken_peft_is_no_proof(patient, tmp_path):
    """An environment whose peft cannot be imported fails the probe, whatever its metadata says."""
    broken = tmp_path / "broken"
    subprocess.run([str(patient), "-m", "venv", "--without-pip", str(broken)], check=True, timeout=60)
    told = [str(patient), "-c", "import json, sysconfig; print(json.dumps(sysconfig.get_path('purelib')))"]
    whole = json.loads(subprocess.run(told, check=True, capture_output=True, text=True).stdout)
    packages = next((broken / "lib").glob("python3*/site-packages"))
    (packages / "whole.pth").write_text(whole + "\n")
    (packages / "peft").mkdir()
    (packages / "peft" / "__init__.py").write_text("from transformers import HybridCacheThatIsGone\n")

    with pytest.raises(LockError, match="HybridCacheThatIsGone"):
        prove.prove(broken / "bin" / "python", ["peft"], tmp_path)
