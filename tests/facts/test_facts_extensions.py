"""Compiled extensions as their files tell, beside a torch of a few symbols; all of them made by gcc."""

import pytest
from extension_files import compiled

from envdoc.doctor.facts.extension_builds import built_for
from envdoc.doctor.facts.extensions import extensions

SET_DEVICE, CHECK = "_ZN3c104cuda9SetDeviceEi", "_ZN3c106detail14torchCheckFailEPKcS2_jRKSs"
SUFFIX = "cpython-311-x86_64-linux-gnu.so"


@pytest.fixture()
def site(tmp_path):
    """A site-packages with a torch whose libraries export SET_DEVICE, and a libcudart.so.13."""
    folder = tmp_path / "site-packages"
    libraries = folder / "torch" / "lib"
    libraries.mkdir(parents=True)
    compiled(libraries / "libc10.so", exports=["_ZN3c105ErrorC2Ev"])
    compiled(libraries / "libtorch_cpu.so", exports=["_ZN2at5emptyEv"])
    compiled(libraries / "libc10_cuda.so", exports=[SET_DEVICE])
    runtime = folder / "nvidia" / "cu13" / "lib"
    runtime.mkdir(parents=True)
    (runtime / "libcudart.so.13").touch()
    return folder


def install(site, name, version, **files):
    """A distribution with these libraries and its RECORD; the values are arguments of `compiled`."""
    module = name.replace("-", "_")
    info = site / f"{module}-{version}.dist-info"
    info.mkdir()
    lines = []
    for stem, how in files.items():
        path = site / f"{stem}.{SUFFIX}"
        path.parent.mkdir(parents=True, exist_ok=True)
        compiled(path, **how)
        lines.append(f"{path.relative_to(site)},sha256=x,{path.stat().st_size}")
    (info / "RECORD").write_text("\n".join(lines) + "\n")
    return info


def found(site, python="3.11.7", quick=False, **variables):
    return extensions([str(site)], (), python, str(site / "torch"), variables, quick)


def test_a_fitting_extension_lacks_nothing(site):
    """Its GPUs, and the libraries that it asks for; no symbol and no library is missing."""
    install(
        site,
        "flash-attn",
        "2.8.3",
        flash_attn_2_cuda={
            "symbols": [SET_DEVICE],
            "needed": ["libc10_cuda.so", "libc10.so", "libcudart.so.13"],
            "code": ["sm_80", "sm_90a", "compute_90"],
        },
    )
    told = found(site)
    (extension,) = told.found
    (library,) = extension.libraries
    assert ("flash-attn", "2.8.3", True) == (extension.name, extension.version, told.compared)
    assert ("sm_80", "sm_90a", "compute_90") == library.architectures
    assert ("libc10_cuda.so", "libc10.so", "libcudart.so.13") == library.needed
    assert ((), (), 0, ()) == (library.missing, library.undefined, library.undefined_count, library.versions)


def test_symbols_that_torch_does_not_have(site):
    """Those of torch's namespaces are told; others may come from anywhere."""
    install(
        site,
        "flash-attn",
        "2.8.3",
        flash_attn_2_cuda={"symbols": [SET_DEVICE, CHECK, "somebody_elses"], "needed": ["libc10.so"]},
    )
    (library,) = found(site).found[0].libraries
    assert ((CHECK,), 1) == (library.undefined, library.undefined_count)


def test_symbols_of_a_library_beside_it(site):
    """An extension may take its symbols from another library of its own distribution."""
    needed = ["libc10.so", f"base.{SUFFIX}"]
    install(
        site,
        "mine",
        "1.0",
        base={"exports": [CHECK], "needed": ["libc10.so"]},
        user={"symbols": [CHECK], "needed": needed},
    )
    assert [0, 0] == [library.undefined_count for library in found(site).found[0].libraries]


def test_nothing_is_said_where_a_provider_is_unknown(site):
    """A library that is nowhere could have had the symbols: the missing library is all that is known."""
    install(site, "mine", "1.0", user={"symbols": [CHECK], "needed": ["libc10.so", "libelsewhere.so.2"]})
    (library,) = found(site).found[0].libraries
    assert (0, ()) == (library.undefined_count, library.missing)


def test_libraries_of_another_cuda(site):
    """libcudart.so.12 beside a torch that brings 13 is missing, until some folder of the loader has it."""
    install(site, "flash-attn", "2.8.3", flash_attn_2_cuda={"needed": ["libc10.so", "libcudart.so.12"]})
    assert ("libcudart.so.12",) == found(site).found[0].libraries[0].missing
    elsewhere = site.parent / "cuda-12"
    elsewhere.mkdir()
    (elsewhere / "libcudart.so.12").touch()
    assert () == found(site, LD_LIBRARY_PATH=str(elsewhere)).found[0].libraries[0].missing


def test_a_renamed_library_of_torch_answers_to_its_own_name(site):
    """torch's wheels for CUDA 11 hold libcudart-d0da41ae.so.11.0, which still calls itself libcudart.so.11.0."""
    renamed = site / "torch" / "lib" / "libcudart-d0da41ae.so.11.0"
    compiled(renamed, soname="libcudart.so.11.0")
    install(site, "flash-attn", "2.3.6", flash_attn_2_cuda={"needed": ["libc10.so", "libcudart.so.11.0"]})
    assert () == found(site).found[0].libraries[0].missing


def test_what_torch_finds_by_its_own_path_is_there_for_extensions(site):
    """A torch that was built against a toolkit in a folder of its own names it in its RUNPATH."""
    toolkit = site.parent / "toolkit"
    toolkit.mkdir()
    (toolkit / "libcudart.so.12").touch()
    (site / "torch" / "lib" / "libc10_cuda.so").unlink()
    compiled(site / "torch" / "lib" / "libc10_cuda.so", runpath=f"$ORIGIN/../../../{toolkit.name}")
    install(site, "flash-attn", "2.8.3", flash_attn_2_cuda={"needed": ["libc10.so", "libcudart.so.12"]})
    assert () == found(site).found[0].libraries[0].missing


def test_quick_reads_two_libraries_of_a_distribution(site):
    """The ones that its import needs go before the others."""
    how = {"needed": ["libc10.so"]}
    install(site, "flash-attn", "2.8.3", another=how, flash_attn_2_cuda=how, more=how)
    assert 3 == len(found(site).found[0].libraries)
    libraries = found(site, quick=True).found[0].libraries
    assert (f"flash_attn_2_cuda.{SUFFIX}", 2) == (libraries[0].file, len(libraries))


def test_a_cpu_torch_has_no_cuda_libraries(site):
    """What a CUDA build asks of torch itself is told like the rest."""
    (site / "torch" / "lib" / "libc10_cuda.so").unlink()
    install(
        site, "flash-attn", "2.8.3", flash_attn_2_cuda={"symbols": [SET_DEVICE], "needed": ["libc10_cuda.so"]}
    )
    (library,) = found(site).found[0].libraries
    assert (("libc10_cuda.so",), 0) == (library.missing, library.undefined_count)


def test_a_torch_that_is_cut_short_is_not_compared(site):
    """A broken torch is another fault: no symbol of it is called missing."""
    with (site / "torch" / "lib" / "libtorch_cpu.so").open("r+b") as file:
        file.truncate(5000)
    install(site, "flash-attn", "2.8.3", flash_attn_2_cuda={"symbols": [CHECK], "needed": ["libc10.so"]})
    told = found(site)
    assert (False, 0) == (told.compared, told.found[0].libraries[0].undefined_count)


def test_an_extension_of_another_python(site):
    """Its name says so; it is not loaded, so nothing of it is missing."""
    install(site, "flash-attn", "2.8.3", flash_attn_2_cuda={"symbols": [CHECK], "needed": ["libc10.so"]})
    (library,) = found(site, python="3.12.1").found[0].libraries
    assert (True, 0) == (library.other_python, library.undefined_count)


def test_versions_of_a_newer_system(site):
    """glibc and libstdc++ versions that nothing here defines are told, though the library has no GPU code."""
    needs = [("libc.so.6", "GLIBC_9.38"), ("libstdc++.so.6", "GLIBCXX_9.4.99")]
    install(site, "plain", "1.0", plain={"versions": needs})
    assert {"GLIBC_9.38", "GLIBCXX_9.4.99"} == set(found(site).found[0].libraries[0].versions)


def test_what_has_nothing_to_do_with_a_gpu_is_left_out(site):
    """A library without GPU code that does not ask for torch is nobody's concern here."""
    install(site, "plain", "1.0", plain={"exports": ["f"]})
    assert () == found(site).found


def test_quick_reads_the_known_ones_alone(site):
    """The others are left to the default check."""
    how = {"code": ["sm_80"], "needed": ["libc10.so"]}
    install(site, "flash-attn", "2.8.3", flash_attn_2_cuda=how)
    install(site, "mine", "1.0", mine=how)
    assert ["flash-attn"] == [extension.name for extension in found(site, quick=True).found]
    assert ["flash-attn", "mine"] == [extension.name for extension in found(site).found]


def test_a_library_that_nobody_recorded(site):
    """What `pip uninstall` left at the top of site-packages is told by its own name."""
    compiled(site / f"flash_attn_2_cuda.{SUFFIX}", symbols=[CHECK], needed=["libc10.so"])
    (extension,) = found(site).found
    assert ("flash-attn-2-cuda", "", 1) == (
        extension.name,
        extension.version,
        extension.libraries[0].undefined_count,
    )


def test_an_editable_install(site, tmp_path):
    """Its libraries lie in its source, which direct_url.json names."""
    source = tmp_path / "my source"
    source.mkdir()
    compiled(source / f"flash_attn_2_cuda.{SUFFIX}", symbols=[CHECK], needed=["libc10.so"])
    info = site / "flash_attn-2.8.3.dist-info"
    info.mkdir()
    (info / "RECORD").write_text("")
    url = source.as_uri()
    (info / "direct_url.json").write_text(f'{{"dir_info": {{"editable": true}}, "url": "{url}"}}')
    (extension,) = found(site).found
    assert (str(source), 1) == (extension.location, extension.libraries[0].undefined_count)


@pytest.mark.parametrize("content", [b"", b"\x7fELF\x02\x01\x01", b"\x7fELF\x02\x01" + bytes(200), b"text"])
def test_a_damaged_library_ends_nothing(site, content):
    """It is described by its problem, and the others are told."""
    install(site, "flash-attn", "2.8.3", flash_attn_2_cuda={"needed": ["libc10.so"], "code": ["sm_80"]})
    install(site, "xformers", "0.0.35")
    (site / "xformers-0.0.35.dist-info" / "RECORD").write_text("xformers/_C.so,sha256=x,4\n")
    (site / "xformers").mkdir()
    (site / "xformers" / "_C.so").write_bytes(content)
    assert ("sm_80",) == found(site).found[0].libraries[0].architectures


def test_paths_that_lead_out_are_not_followed(site):
    """A RECORD may name anything; what lies outside its folder is not opened."""
    info = install(site, "mine", "1.0")
    (info / "RECORD").write_text("../../outside.so,sha256=x,1\n/etc/x.so,,\na/../../b.so,,1\n")
    assert () == found(site).found


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.8.3+cu12torch2.8cxx11abiFALSE", ("2.8", "12", "its version")),
        ("2.8.3+cu128torch2.9", ("2.9", "12.8", "its version")),
        ("0.6.3+pt26cu124", ("2.6", "12.4", "its version")),
        ("2.8.3", ("", "", "")),
        ("2.8.3+local", ("", "", "")),
    ],
)
def test_versions_that_say_what_they_were_built_for(tmp_path, version, expected):
    """Local version labels in the manners of flash-attn and others."""
    assert expected == built_for("flash-attn", version, tmp_path, "")


def test_files_that_say_what_they_were_built_for(tmp_path):
    """xformers, deepspeed and torchvision in files of their own; a wheel by the name that it was installed from."""
    for name, text in {
        "xformers/cpp_lib.json": '{"version": {"cuda": 1208, "hip": null, "torch": "2.8.0+cu128"}, "env": {}}',
        "deepspeed/git_version_info_installed.py": "version='0.18.2'\n"
        "torch_info={'version': '2.8', 'bf16_support': True, 'cuda_version': '12.8', 'nccl_version': '2.27'}\n",
        "torchvision/version.py": "__version__ = '0.24.1+cu128'\n",
        "flash.dist-info/direct_url.json": '{"archive_info": {}, "url": '
        '"https://example.org/flash_attn-2.8.3%2Bcu12torch2.8cxx11abiTRUE-cp311-cp311-linux_x86_64.whl"}',
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert ("2.8.0+cu128", "12.8") == built_for("xformers", "0.0.32", tmp_path, "")[:2]
    assert ("2.8", "12.8") == built_for("deepspeed", "0.18.2", tmp_path, "")[:2]
    assert ("", "12.8") == built_for("torchvision", "0.24.1", tmp_path, "")[:2]
    assert ("2.8", "12") == built_for("flash-attn", "2.8.3", tmp_path, str(tmp_path / "flash.dist-info"))[:2]
