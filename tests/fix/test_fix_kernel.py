"""The Jupyter kernel: one file outside envdoc's folder, only ever envdoc's own, and it starts what is in use."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from envdoc.doctor.errors import FixError
from envdoc.doctor.fix.kernel import (
    is_registered,
    kernel_file,
    kernel_spec,
    missing_pins,
    register_kernel,
    unregister_kernel,
)


@pytest.fixture
def environ(tmp_path):
    """A user with a home of their own."""
    return {"HOME": str(tmp_path / "user")}


def test_the_file_lies_where_jupyter_looks(tmp_path):
    """JUPYTER_DATA_DIR before XDG_DATA_HOME before the home folder."""
    home = {"HOME": "/u"}
    assert "/u/.local/share/jupyter/kernels/envdoc/kernel.json" == str(kernel_file(home))
    data = {**home, "XDG_DATA_HOME": "/x"}
    assert "/x/jupyter/kernels/envdoc/kernel.json" == str(kernel_file(data))
    assert "/j/kernels/envdoc/kernel.json" == str(kernel_file({**data, "JUPYTER_DATA_DIR": "/j"}))


def test_it_is_registered_again_and_removed(environ, home):
    """Twice is as once; nothing but its own folder is left behind or taken away."""
    file = register_kernel(home, environ)
    assert file == register_kernel(home, environ)
    assert ["kernel.json"] == [path.name for path in file.parent.iterdir()]
    assert is_registered(home, environ)
    assert file == unregister_kernel(home, environ)
    assert (False, True) == (file.parent.exists(), file.parent.parent.exists())
    assert None is unregister_kernel(home, environ)


def test_a_kernel_of_somebody_else_is_left_as_it_is(environ, home, tmp_path):
    """One sentence says whose it is; neither registering nor removing touches it."""
    file = kernel_file(environ)
    file.parent.mkdir(parents=True)
    for content in ("{}", "no json", json.dumps(kernel_spec(tmp_path / "other"))):
        file.write_text(content)
        with pytest.raises(FixError, match=r"The Jupyter kernel `envdoc` in .* is left as it is"):
            register_kernel(home, environ)
        assert (None, content) == (unregister_kernel(home, environ), file.read_text())


def test_it_starts_the_generation_itself_and_not_the_link(environ, home):
    """The process runs under the generation's own path, with its bin first on PATH, and gets Jupyter's arguments."""
    generation = home / "envs" / "0001-tiny"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(generation)], check=True)
    (site,) = generation.glob("lib/python3*/site-packages")
    (site / "ipykernel_launcher.py").write_text(
        "import json, os, sys\n"
        "print(json.dumps([sys.prefix, sys.argv[1:], os.environ['VIRTUAL_ENV'], os.environ['PATH'].split(':')[0]]))\n"
    )
    (home / "current").symlink_to("envs/0001-tiny")
    argv = [text.replace("{connection_file}", "/c.json") for text in kernel_spec(home)["argv"]]
    done = subprocess.run(argv, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    place = str(generation.resolve())
    assert [place, ["-f", "/c.json"], place, f"{place}/bin"] == json.loads(done.stdout), done.stderr


def test_only_what_is_missing_is_added_and_every_pin_has_a_hash():
    """A profile's own pins stay; names are compared as pip does."""
    whole, less = missing_pins([]), missing_pins(["Typing_Extensions", "packaging"])
    blocks = [block for block in whole.split("\n") if "==" in block]
    assert any(line.startswith("ipykernel==") for line in blocks)
    assert whole.count("==") and all(line.rstrip().endswith("\\") for line in blocks)
    assert not any(line.startswith(("typing-extensions==", "packaging==")) for line in less.splitlines())
    assert any(line.startswith("ipykernel==") for line in less.splitlines())


def test_no_kernel_shows_first_and_removes_with_apply(environ, home):
    """Nothing changes without --apply; a second time there is nothing to remove."""
    file = register_kernel(home, environ)
    told = []
    for arguments in ([], ["--apply"], ["--apply"]):
        command = [str(Path(sys.executable).parent / "envdoc"), "fix", "--no-kernel", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **environ, "ENVDOC_HOME": str(home)}
        )
        told.append((done.returncode, done.stdout.split()[0], file.exists()))
    assert [(0, "The", True), (0, "Removed", False), (0, "No", False)] == told
