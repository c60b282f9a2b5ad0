"""torch, bitsandbytes and transformers read from files: real ones of the patient, and damaged ones."""

import subprocess

import fakes
from test_facts_elf import CUBIN, PTX, region

from envdoc.doctor.facts.binaries import bitsandbytes_build, find_package, torch_build
from envdoc.doctor.facts.constraints import transformers_build


def site_packages(python):
    code = "import sysconfig; print(sysconfig.get_path('platlib'))"
    return [
        subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    ]


def test_the_patients_torch_is_what_torch_says_of_itself(patient):
    """Version and CUDA equal what an import tells, and nothing is found wrong with a whole installation."""
    flags = (
        "getattr(torch._C, '_cuda_getArchFlags', lambda: None)() or '-'"  # a CPU build has no such function
    )
    code = f"import torch; print(torch.__version__, torch.version.cuda, {flags})"
    told = subprocess.run(
        [str(patient), "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    build = torch_build(site_packages(patient))
    assert told[0] == build.version
    assert told[1] == str(build.cuda)
    assert ([] if told[2] == "-" else told[2:]) == list(build.architectures)
    assert "" == build.problem


def test_the_patients_bitsandbytes_libraries(patient):
    """Each CUDA library tells its CUDA and its architectures: sm_80 in all of them, PTX for the newest last."""
    build = bitsandbytes_build(site_packages(patient), "0.50.2")
    libraries = {library.file: library for library in build.libraries}
    cuda = [library for library in build.libraries if library.backend == "cuda"]
    assert "0.50.2" == build.version
    assert "cpu" == libraries["libbitsandbytes_cpu.so"].backend
    assert len(cuda) >= 3
    for library in cuda:
        cubins = [a for a in library.architectures if a.startswith("sm_")]
        assert "sm_80" in cubins, library
        assert cubins == sorted(cubins, key=lambda a: int(a[3:]))
        assert (f"compute_{cubins[-1][3:]}",) == library.architectures[len(cubins) :]
        assert library.file.endswith(library.cuda.replace(".", "") + ".so")
        assert library.size_bytes > 1_000_000


def test_the_patients_transformers_constraints(patient):
    """The table is the one that an import gives."""
    code = "from transformers.dependency_versions_table import deps; print(deps['accelerate'], len(deps))"
    told = subprocess.run(
        [str(patient), "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    build = transformers_build(site_packages(patient))
    assert told == [dict(build.dependency_table)["accelerate"], str(len(build.dependency_table))]
    assert build.torch_minimum.startswith("2.")


def test_the_list_that_torch_was_compiled_with(tmp_path):
    """The longest list of architectures in libtorch_python.so is the one, PTX included."""
    fakes.torch_package(tmp_path, "2.0.1+cu117", "11.7", "sm_70 sm_75 sm_80 sm_86 compute_86")
    build = torch_build([str(tmp_path)])
    assert ("sm_70", "sm_75", "sm_80", "sm_86", "compute_86") == build.architectures
    assert ("2.0.1+cu117", "11.7", "") == (build.version, build.cuda, build.problem)


def test_without_the_list_the_fat_binary_tells(tmp_path):
    """Where libtorch_python.so holds no list, the headers in libtorch_cuda.so do."""
    folder = fakes.torch_package(tmp_path, "2.4.0", "12.4")
    data = region((CUBIN, 80), (CUBIN, 90), (PTX, 90))
    fakes.shared_library(folder / "lib" / "libtorch_cuda.so", data)
    assert ("sm_80", "sm_90", "compute_90") == torch_build([str(tmp_path)]).architectures


def test_without_both_the_compilers_flags_tell(tmp_path):
    """The -gencode flags that the build kept as text are the last source."""
    folder = fakes.torch_package(tmp_path, "2.4.0", "12.4")
    flags = "-gencode;arch=compute_80,code=sm_80;-gencode;arch=compute_90,code=[compute_90,sm_90]"
    fakes.shared_library(folder / "lib" / "libtorch_cuda.so", strings=[flags])
    assert ("sm_80", "sm_90", "compute_90") == torch_build([str(tmp_path)]).architectures


def test_a_truncated_libtorch_python_is_told_and_replaced_as_source(tmp_path):
    """The problem names the file; the architectures come from the fat binary instead."""
    folder = fakes.torch_package(tmp_path, "2.4.0", "12.4", "sm_80 sm_90")
    fakes.shared_library(folder / "lib" / "libtorch_cuda.so", region((CUBIN, 75)))
    with (folder / "lib" / "libtorch_python.so").open("r+b") as file:
        file.truncate(4096)
    build = torch_build([str(tmp_path)])
    assert ("sm_75",) == build.architectures
    assert build.problem.startswith("libtorch_python.so is truncated: it has 4,096 bytes")


def test_a_half_deleted_torch_names_every_missing_library(tmp_path):
    """version.py alone is not an installation."""
    folder = fakes.torch_package(tmp_path, "2.4.0+cpu", None)
    for library in (folder / "lib").iterdir():
        library.unlink()
    (folder / "__init__.py").unlink()
    assert (
        "libc10.so is missing; libtorch_cpu.so is missing; libtorch_python.so is missing; torch/__init__.py is missing."
        == torch_build([str(tmp_path)]).problem
    )


def test_a_torch_without_version_py(tmp_path):
    """Nothing is claimed about its version, and the file that is missing is named."""
    (fakes.torch_package(tmp_path, "2.4.0", None) / "version.py").unlink()
    build = torch_build([str(tmp_path)])
    assert "" == build.version
    assert build.problem.startswith("torch/version.py cannot be read")


def test_nothing_installed_is_none(tmp_path):
    """An empty folder has no torch, no bitsandbytes and no transformers."""
    path = [str(tmp_path)]
    assert (None, None, None) == (torch_build(path), bitsandbytes_build(path, ""), transformers_build(path))


def test_a_truncated_bitsandbytes_library_serves_no_architecture(tmp_path):
    """It is listed with its size and without architectures."""
    folder = tmp_path / "bitsandbytes"
    folder.mkdir()
    library = fakes.shared_library(folder / "libbitsandbytes_cuda128.so", region((CUBIN, 80)))
    with library.open("r+b") as file:
        file.truncate(1000)
    (found,) = bitsandbytes_build([str(tmp_path)], "0.46.1").libraries
    assert ("12.8", 1000, ()) == (found.cuda, found.size_bytes, found.architectures)


def test_a_regular_package_wins_over_a_namespace_folder_before_it(tmp_path):
    """An import takes the folder with __init__.py even where one without stands first on the path."""
    (tmp_path / "first" / "peft").mkdir(parents=True)
    (tmp_path / "second" / "peft").mkdir(parents=True)
    (tmp_path / "second" / "peft" / "__init__.py").touch()
    path = [str(tmp_path / "first"), str(tmp_path / "second")]
    assert tmp_path / "second" / "peft" == find_package("peft", path)


def test_a_hostile_dependency_table(tmp_path):
    """Source that is no table, or no Python, gives an empty table; it is never run."""
    folder = tmp_path / "transformers"
    folder.mkdir()
    (folder / "__init__.py").write_text('__version__ = "4.57.1"\n')
    for source in ("deps = {", "deps = __import__('os').abort()", "deps = 3", "\0", ""):
        (folder / "dependency_versions_table.py").write_text(source)
        build = transformers_build([str(tmp_path)])
        assert ("4.57.1", (), "") == (build.version, build.dependency_table, build.torch_minimum)
