"""What a library asks of the loader and which symbols it has, in libraries that gcc made."""

import subprocess

import pytest

from envdoc.doctor.facts.elf import Elf, ElfError
from envdoc.doctor.facts.elf_dynamic import (
    Dynamic,
    DynamicSection,
    dynamic_of,
    versions_defined,
    versions_needed,
)
from envdoc.doctor.facts.elf_symbols import Exports, gnu_hash, undefined


def compiled(path, source, *arguments):
    """A shared library of that C source, with further arguments for gcc."""
    code = path.with_suffix(".c")
    code.write_text(source)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", path, code, *arguments], check=True, timeout=60)
    return path


def missing_of(path, names):
    with Elf(path) as elf:
        return [name for name, _ in Exports(elf).missing((name, gnu_hash(name)) for name in names)]


@pytest.fixture()
def helper(tmp_path):
    return compiled(
        tmp_path / "libhelper.so", "int helper_one(void) { return 1; }", "-Wl,-soname,libhelper.so.3"
    )


def test_soname_needed_and_runpath(tmp_path, helper):
    """The library's own name, what it needs in order, and its RUNPATH split at colons and not expanded."""
    path = compiled(
        tmp_path / "libuser.so",
        "int helper_one(void); int user(void) { return helper_one(); }",
        "-Wl,-soname,libuser.so.1",
        "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib:/opt/cuda/lib64",
        helper,
    )
    found = dynamic_of(path)
    assert "libuser.so.1" == found.soname
    assert "libhelper.so.3" == found.needed[0]
    assert ((), ("$ORIGIN/../lib", "/opt/cuda/lib64")) == (found.rpath, found.runpath)


def test_rpath_is_told_apart_from_runpath(tmp_path, helper):
    """DT_RPATH goes before LD_LIBRARY_PATH and DT_RUNPATH after it, so they are two fields."""
    path = compiled(tmp_path / "l.so", "int x;", "-Wl,--disable-new-dtags,-rpath,/opt/lib")
    assert (("/opt/lib",), ()) == (dynamic_of(path).rpath, dynamic_of(path).runpath)


def test_a_library_without_dynamic_section_asks_for_nothing(tmp_path):
    """An object file has no program headers: everything is empty, and nothing is raised."""
    source = tmp_path / "x.c"
    source.write_text("int x;")
    subprocess.run(["gcc", "-c", "-o", tmp_path / "x.o", source], check=True, timeout=60)
    assert Dynamic() == dynamic_of(tmp_path / "x.o")


def test_undefined_symbols_are_the_strong_ones(tmp_path, helper):
    """What must be found elsewhere is told; a weak symbol may stay missing and is not."""
    path = compiled(
        tmp_path / "u.so",
        "int _ZN3c104goneEv(void); __attribute__((weak)) int maybe(void);"
        "int user(void) { return _ZN3c104goneEv() + (maybe ? maybe() : 0); }",
    )
    with Elf(path) as elf:
        assert ("_ZN3c104goneEv",) == undefined(DynamicSection(elf))


def test_exports_are_found_by_their_hash(tmp_path):
    """Two thousand symbols are each found; others, and those that are only asked for, are not."""
    names = [f"symbol_{number}" for number in range(2000)]
    source = "int elsewhere(void);" + "".join(f"int {name}(void) {{ return elsewhere(); }}" for name in names)
    path = compiled(tmp_path / "many.so", source)
    assert ["symbol_2000", "elsewhere"] == missing_of(path, [*names, "symbol_2000", "elsewhere"])


def test_a_library_that_exports_nothing(tmp_path):
    """Its hash table is there and empty."""
    path = compiled(tmp_path / "none.so", "static int x;", "-nostdlib")
    assert ["x"] == missing_of(path, ["x"])


def test_symbol_versions(tmp_path):
    """A version that a library defines is needed by the library that was linked against it."""
    script = tmp_path / "map"
    script.write_text("MY_1.0 { global: mine; local: *; };")
    base = compiled(
        tmp_path / "libbase.so",
        "int mine(void) { return 1; }",
        f"-Wl,--version-script,{script},-soname,libbase.so.1",
    )
    user = compiled(tmp_path / "user.so", "int mine(void); int user(void) { return mine(); }", base)
    with Elf(base) as elf:
        assert "MY_1.0" in versions_defined(DynamicSection(elf))
    with Elf(user) as elf:
        assert ("libbase.so.1", "MY_1.0") in versions_needed(DynamicSection(elf))


def test_damage_is_one_kind_of_error(tmp_path, helper):
    """Whatever byte is overwritten, the answer is a Dynamic or an ElfError: no crash, no endless walk."""
    whole = helper.read_bytes()
    broken = tmp_path / "broken.so"
    for place in range(0, len(whole) - 8, 197):
        broken.write_bytes(whole[:place] + b"\xff" * 8 + whole[place + 8 :])
        try:
            dynamic_of(broken)
            missing_of(broken, ["helper_one", "other"])
            with Elf(broken) as elf:
                versions_needed(DynamicSection(elf))
                undefined(DynamicSection(elf))
        except (ElfError, IndexError):
            pass
        except Exception as error:
            assert "struct.error" in f"{type(error).__module__}.{type(error).__name__}", error
