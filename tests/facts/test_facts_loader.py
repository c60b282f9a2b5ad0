"""The model of the dynamic loader against the real one: the same libraries, compiled here, loaded by a real process."""

import os
import platform
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from envdoc.doctor.facts.ld_search import Files, Process

PROGRAM = """
#include <dlfcn.h>
#include <stdio.h>
int main(int count, char **names) {
    for (int i = 1; i < count; i++)
        if (!dlopen(names[i], RTLD_LAZY)) fprintf(stderr, "%s\\n", dlerror());
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[4096];
    while (fgets(line, sizeof line, maps)) fputs(line, stdout);
    return 0;
}
"""
MACHINE = platform.machine()
pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="a C compiler is needed")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A folder with an empty source and the program's."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "empty.c").write_text("")
    (folder / "program.c").write_text(PROGRAM)
    command = ["gcc", "-c", "-fPIC", str(folder / "empty.c"), "-o", str(folder / "empty.o")]
    subprocess.run(command, check=True)
    return folder


def library(sources, path, needed=(), rpath="", runpath="", soname=""):
    """A real library that needs those, with that DT_RPATH or DT_RUNPATH."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stubs = sources / "stubs"
    stubs.mkdir(exist_ok=True)
    for name in needed:  # the linker wants a file of that name, wherever the loader will look
        if not (stubs / name).exists():
            gcc(sources, stubs / name, f"-Wl,-soname,{name}")
    flags = [f"-Wl,-soname,{soname or path.name}", "-Wl,--no-as-needed", f"-L{stubs}"]
    flags += [f"-l:{name}" for name in needed]
    if rpath:
        flags += [f"-Wl,-rpath,{rpath}", "-Wl,--disable-new-dtags"]
    if runpath:
        flags += [f"-Wl,-rpath,{runpath}", "-Wl,--enable-new-dtags"]
    gcc(sources, path, *flags)
    return path


def gcc(sources, path, *flags):
    """An empty shared library with those flags."""
    command = ["gcc", "-shared", "-fPIC", "-nostdlib", str(sources / "empty.o"), "-o", str(path), *flags]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def program(sources, tmp_path_factory):
    """A function from "", "rpath" or "runpath" to a program that opens its arguments and prints its maps."""
    folder = tmp_path_factory.mktemp("program")

    def build(kind="", value=""):
        path = folder / f"program-{kind}{abs(hash(value))}"
        if not path.exists():
            flags = [] if not kind else [f"-Wl,-rpath,{value}"]
            flags += {"rpath": ["-Wl,--disable-new-dtags"], "runpath": ["-Wl,--enable-new-dtags"]}.get(
                kind, []
            )
            subprocess.run(["gcc", str(sources / "program.c"), "-o", str(path), *flags, "-ldl"], check=True)
        return path

    return build


def really_loaded(program, folder, names, library_path="", preload=""):
    """The files below `folder` that are mapped after the real loader opened those names."""
    environ = {**os.environ, "LD_LIBRARY_PATH": library_path, "LD_PRELOAD": preload}
    done = subprocess.run([str(program), *map(str, names)], env=environ, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    paths = {line.split(None, 5)[5].strip() for line in done.stdout.splitlines() if "/" in line}
    return {path for path in paths if path.startswith(str(folder))}


def modelled(program, folder, names, library_path="", preload=""):
    """The same by the model."""
    wanted = [(name, "LD_PRELOAD") for name in preload.split(":") if name]
    process = Process(str(program), library_path, wanted, Files(MACHINE))
    for name in names:
        process.open(str(name))
    return {os.path.realpath(one.path) for one in process.loaded[1:] if one.path.startswith(str(folder))}


def agree(program, folder, names, library_path="", preload=""):
    """What both say, which must be the same."""
    real = really_loaded(program, folder, names, library_path, preload)
    assert real == modelled(program, folder, names, library_path, preload)
    return {str(Path(path).relative_to(folder)) for path in real}


@pytest.fixture()
def folder(tmp_path):
    """An empty folder."""
    return tmp_path.resolve()


def test_rpath_goes_before_the_variable(sources, program, folder):
    """DT_RPATH of the library that asks, then LD_LIBRARY_PATH."""
    top = library(sources, folder / "libtop.so", ["libx.so.1"], rpath="$ORIGIN/own")
    for name in ("own", "other"):
        library(sources, folder / name / "libx.so.1")
    assert {"libtop.so", "own/libx.so.1"} == agree(program(), folder, [top], f"{folder}/other")


def test_the_variable_goes_before_runpath(sources, program, folder):
    """LD_LIBRARY_PATH, then DT_RUNPATH."""
    top = library(sources, folder / "libtop.so", ["libx.so.1"], runpath="$ORIGIN/own")
    for name in ("own", "other"):
        library(sources, folder / name / "libx.so.1")
    assert {"libtop.so", "other/libx.so.1"} == agree(program(), folder, [top], f"{folder}/other")
    assert {"libtop.so", "own/libx.so.1"} == agree(program(), folder, [top])


def test_rpath_is_inherited_and_runpath_is_not(sources, program, folder):
    """A library without either is found its own by the DT_RPATH of whoever asked for it, not by a DT_RUNPATH."""
    library(sources, folder / "own/libmid.so.1", ["libx.so.1"])
    for name in ("own", "other"):
        library(sources, folder / name / "libx.so.1")
    by_rpath = library(sources, folder / "libtop.so", ["libmid.so.1"], rpath="$ORIGIN/own")
    by_runpath = library(sources, folder / "libtop2.so", ["libmid.so.1"], runpath="$ORIGIN/own")
    assert {"libtop.so", "own/libmid.so.1", "own/libx.so.1"} == agree(
        program(), folder, [by_rpath], f"{folder}/other"
    )
    assert {"libtop2.so", "own/libmid.so.1", "other/libx.so.1"} == agree(
        program(), folder, [by_runpath], f"{folder}/other"
    )


def test_a_library_with_runpath_does_not_inherit(sources, program, folder):
    """So is libcusparse of CUDA 12 under torch: its libnvJitLink comes from LD_LIBRARY_PATH."""
    library(sources, folder / "own/libmid.so.1", ["libx.so.1"], runpath="$ORIGIN/../own")
    for name in ("own", "other"):
        library(sources, folder / name / "libx.so.1")
    top = library(sources, folder / "libtop.so", ["libmid.so.1"], rpath="$ORIGIN/own")
    assert {"libtop.so", "own/libmid.so.1", "other/libx.so.1"} == agree(
        program(), folder, [top], f"{folder}/other"
    )


def test_what_is_loaded_already_wins(sources, program, folder):
    """By its soname, whatever its file is called: so torch's preloads of newer releases work."""
    early = library(sources, folder / "wheel/libx-build.so", soname="libx.so.1")
    top = library(sources, folder / "libtop.so", ["libx.so.1"], runpath="$ORIGIN/own")
    library(sources, folder / "other/libx.so.1")
    assert {"wheel/libx-build.so", "libtop.so"} == agree(program(), folder, [early, top], f"{folder}/other")


def test_the_programs_own_rpath_reaches_everything(sources, program, folder):
    """conda's python has one: what its lib folder holds goes before LD_LIBRARY_PATH."""
    for name in ("conda", "other"):
        library(sources, folder / name / "libx.so.1")
    top = library(sources, folder / "libtop.so", ["libx.so.1"])
    assert {"libtop.so", "conda/libx.so.1"} == agree(
        program("rpath", f"{folder}/conda"), folder, [top], f"{folder}/other"
    )
    assert {"libtop.so", "other/libx.so.1"} == agree(
        program("runpath", f"{folder}/conda"), folder, [top], f"{folder}/other"
    )


def test_preloads(sources, program, folder):
    """LD_PRELOAD goes before every path; one that is gone, damaged or for another machine is passed over."""
    top = library(sources, folder / "libtop.so", ["libx.so.1"], rpath="$ORIGIN/own")
    for name in ("own", "other"):
        library(sources, folder / name / "libx.so.1")
    (folder / "damaged.so").write_bytes(b"\x7fELF" + b"\0" * 100)
    foreign = bytearray((folder / "own/libx.so.1").read_bytes())
    foreign[18:20] = b"\x08\x00"  # MIPS
    (folder / "foreign.so").write_bytes(bytes(foreign))
    for bad in ("gone.so", "damaged.so", "foreign.so"):
        assert {"libtop.so", "other/libx.so.1"} == agree(
            program(), folder, [top], preload=f"{folder}/{bad}:{folder}/other/libx.so.1"
        )
    assert {"libtop.so", "other/libx.so.1"} == agree(
        program(), folder, [top], f"{folder}/other", preload="libx.so.1"
    )


def test_another_machines_file_is_passed_over(sources, program, folder):
    """A folder with libraries for another architecture on LD_LIBRARY_PATH does no harm."""
    top = library(sources, folder / "libtop.so", ["libx.so.1"], runpath="$ORIGIN/own")
    own = library(sources, folder / "own/libx.so.1")
    foreign = bytearray(own.read_bytes())
    foreign[18:20] = b"\x08\x00"
    (folder / "other").mkdir()
    (folder / "other/libx.so.1").write_bytes(bytes(foreign))
    assert {"libtop.so", "own/libx.so.1"} == agree(program(), folder, [top], f"{folder}/other")


def test_links_to_one_file_are_one_library(sources, program, folder):
    """The same file by two names is loaded once."""
    own = library(sources, folder / "own/libx.so.1", soname="libx.so.1")
    (folder / "own/liby.so.1").symlink_to(own)
    top = library(sources, folder / "libtop.so", ["liby.so.1", "libx.so.1"], rpath="$ORIGIN/own")
    assert {"libtop.so", "own/libx.so.1"} == agree(program(), folder, [top])


@pytest.mark.parametrize("seed", range(16))
def test_any_tangle(sources, program, folder, seed):
    """Six libraries that need each other, in three folders, with paths of every kind: model and loader agree."""
    chance = random.Random(seed)
    names = [f"lib{letter}.so.1" for letter in "abcdef"]
    folders = ["one", "two", "three"]
    for index, name in enumerate(names):
        for place in chance.sample(folders, chance.randint(1, 3)):
            later = names[index + 1 :]
            needed = chance.sample(later, chance.randint(0, min(3, len(later))))
            path = ":".join(f"$ORIGIN/../{one}" for one in chance.sample(folders, chance.randint(1, 2)))
            kind = chance.choice(["rpath", "runpath", ""])
            library(sources, folder / place / name, needed, **({kind: path} if kind else {}))
    built = sorted(folder.glob("*/*.so.1"))
    tops = [path for path in built if path.name in names[:2]]
    opened = chance.sample(tops, chance.randint(1, len(tops)))
    # All three, so that everything is found: what the loader cannot complete it unloads again.
    variable = ":".join(f"{folder}/{one}" for one in chance.sample(folders, 3))
    kind = chance.choice(["", "rpath", "runpath"])
    value = f"{folder}/{chance.choice(folders)}" if kind else ""
    preload = str(chance.choice(built)) if chance.random() < 0.3 else ""
    for name in names:
        for place in folders:
            if not (folder / place / name).exists():
                library(sources, folder / place / name)
    agree(program(kind, value), folder, opened, variable, preload)
