"""pip's configuration in uv's words, why an installer failed, and the progress line."""

import subprocess
from pathlib import Path

import pytest

from envdoc.doctor.facts.pip_settings import list_pip_settings, list_pip_settings_of_base
from envdoc.doctor.fix.failure import failure_of
from envdoc.doctor.fix.installer import clean_environment, progress_line
from envdoc.doctor.fix.pip_config import PipConfig, masked, parse_pip_config, read_pip_config
from envdoc.doctor.fix.pip_installer import _pins_of
from envdoc.doctor.fix.room import tree_bytes
from envdoc.lockfiles import lock_path

LISTED = """\
:env:.index-url='https://user:secret@mirror.example/simple'
global.cert='/etc/ssl/own.pem'
global.extra-index-url='https://a.example/simple\\nhttps://b.example/simple'
global.find-links='/srv/wheels'
global.index-url='https://slow.example/simple'
global.timeout='90'
install.find-links='/srv/first /srv/second'
global.trusted-host='mirror.example'
"""


def test_a_variable_replaces_a_file_and_the_install_section_the_global_one():
    """The same precedence as in pip."""
    config = parse_pip_config(LISTED)
    expected = PipConfig(
        index_url="https://user:secret@mirror.example/simple",
        extra_index_urls=("https://a.example/simple", "https://b.example/simple"),
        find_links=("/srv/first", "/srv/second"),
        certificate="/etc/ssl/own.pem",
        trusted_hosts=("mirror.example",),
        timeout_seconds="90",
    )
    assert expected == config


def test_uv_gets_all_of_it_and_no_password_on_its_command_line():
    """Addresses travel in variables, which other users cannot read."""
    config = parse_pip_config(LISTED)
    assert ["--find-links", "/srv/first", "--find-links", "/srv/second"] == config.uv_arguments()
    told = config.uv_environment()
    assert "https://user:secret@mirror.example/simple" == told["UV_DEFAULT_INDEX"]
    assert "https://a.example/simple https://b.example/simple" == told["UV_INDEX"]
    assert ("unsafe-best-match", "/etc/ssl/own.pem", "90") == (
        told["UV_INDEX_STRATEGY"],
        told["SSL_CERT_FILE"],
        told["UV_HTTP_TIMEOUT"],
    )
    assert {} == PipConfig().uv_environment()


def test_the_configuration_is_read_from_pip_itself(patient, tmp_path, monkeypatch):
    """A real pip with a real file and a real variable."""
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://mirror.example/simple\nno-index = yes\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_FIND_LINKS", "/srv/wheels")
    config = read_pip_config(patient)
    assert ("https://mirror.example/simple", ("/srv/wheels",), True) == (
        config.index_url,
        config.find_links,
        config.no_index,
    )


def test_the_pip_of_the_base_says_what_that_of_the_environment_will(patient, tmp_path, monkeypatch):
    """Files and variables alike; nothing where the base has a pip.conf of its own, or no pip."""
    monkeypatch.setenv("PIP_FIND_LINKS", "/srv/wheels")
    assert list_pip_settings(patient) == list_pip_settings_of_base(patient)
    command = [str(patient), "-m", "venv", "--without-pip", "--system-site-packages", str(tmp_path / "base")]
    subprocess.run(command, check=True)
    base = tmp_path / "base" / "bin" / "python"
    (tmp_path / "base" / "pip.conf").write_text("[global]\nindex-url = https://mirror.example/simple\n")
    assert list_pip_settings_of_base(base) is None
    subprocess.run([*command[:-2], str(tmp_path / "bare")], check=True)
    assert list_pip_settings_of_base(tmp_path / "bare" / "bin" / "python") is None


def test_passwords_are_masked():
    """User names too: a token is often one."""
    assert "at https://***@mirror.example/simple." == masked("at https://user:secret@mirror.example/simple.")


# What the tools print, as seen in real runs (paths and names shortened).
OUTPUTS = [
    ("pip", "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you ...\n"
            "    beta==2.0 from https://x/beta.whl (from -r t.txt (line 2)):\n        Expected sha256 " + "0" * 64
            + "\n             Got        " + "a" * 64, "hash", "The hash of beta==2.0 differs"),
    ("uv", "  x Failed to read `beta==2.0`\n  cause: Hash mismatch for `beta==2.0`\n\nExpected:\n  sha256:" + "0" * 64
           + "\n\nComputed:\n  sha256:" + "a" * 64, "hash", "The hash of beta==2.0 differs"),
    ("pip", "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n", "disk",
     "The disk is full."),
    ("pip", "WARNING: Retrying after connection broken by 'NewConnectionError'\nERROR: Could not find a version that "
            "satisfies the requirement beta==2.0 (from versions: none)\n", "network", "The download broke off: Could"),
    ("pip", "ERROR: No matching distribution found for beta==2.0\n", "missing",
     "The package index lacks a pinned file: No matching distribution found for beta==2.0."),
    ("uv", "error: No solution found when resolving dependencies\n  cause: Because there is no version of beta==2.0 "
           "and you require beta==2.0, we can conclude that your requirements are unsatisfiable.\n", "missing",
     "The package index lacks a pinned file: Because there is no version of beta==2.0"),
    ("uv", "error: Failed to extract archive: beta.whl\n  cause: Bad CRC (got 1, expected 2) for file: f\n", "network",
     "The download broke off: Bad CRC"),
    ("pip", "something unheard of\n", "other", "pip ended with status 1: something unheard of."),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "output", "kind", "sentence"), OUTPUTS)
def test_the_cause_of_a_failure_is_told_in_one_sentence(tool, output, kind, sentence):
    """Broken download, wrong file, missing package, full disk and the rest are five different things."""
    failure = failure_of(tool, output, 1, Path("install.log"))
    assert kind == failure.kind
    assert failure.message.startswith(sentence)
    assert "a" * 64 == failure.digest or kind != "hash"


@pytest.mark.parametrize(
    ("arrived", "rate", "expected"),
    [
        (0, 0.0, "0.00 of 2.00 GB written"),
        (500_000_000, 50_000_000.0, "0.50 of 2.00 GB written, about 30 s left"),
        (500_000_000, 5_000_000.0, "0.50 of 2.00 GB written, about 5 min left"),
        (2_100_000_000, 5_000_000.0, "2.10 GB written"),
    ],
)
def test_the_progress_line_promises_only_what_was_measured(arrived, rate, expected):
    """No time where nothing moves, no percentage above the expected."""
    assert expected == progress_line(arrived, 2_000_000_000, rate)


def test_tree_bytes_counts_files_and_follows_no_link(tmp_path):
    """A link to a large folder elsewhere is not this folder's."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f").write_bytes(bytes(1000))
    before = tree_bytes(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert 1000 == before
    assert tree_bytes(tmp_path) < 1000 + 4096


def test_settings_that_send_files_elsewhere_do_not_reach_the_installer(tmp_path):
    """PIP_TARGET, PIP_USER and PYTHONPATH would spoil the environment; the index must stay."""
    caller = {
        "PIP_TARGET": "/x",
        "PIP_USER": "1",
        "PYTHONPATH": "/y",
        "PIP_INDEX_URL": "https://m/simple",
        "HOME": "/h",
    }
    told = clean_environment(caller, tmp_path, {})
    assert set() == {"PIP_TARGET", "PIP_USER", "PYTHONPATH"} & set(told)
    assert ("https://m/simple", str(tmp_path)) == (told["PIP_INDEX_URL"], told["TMPDIR"])


def test_the_pip_for_old_pythons_is_pinned_by_hash():
    """Python 3.8.0 to 3.9.1 bring a pip that does not know torch's wheel tag; its successor is in relock.txt."""
    pins = _pins_of("pip", lock_path("relock").read_text(encoding="utf-8"))
    assert 3 == len(pins)
    assert all("--hash=sha256:" in pin for pin in pins)
