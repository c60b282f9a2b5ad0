"""What the rules about compiled extensions say, how badly they say it, and where they keep silent."""

from dataclasses import replace

import cases_extensions as cases
import pytest
from rule_machines import package, recorded

from envdoc.doctor.finding import Severity, Status
from envdoc.doctor.rules.extension_words import readable
from envdoc.doctor.rules.registry import all_rules
from envdoc.doctor.tables.extensions import extension_use, torchvision_for
from envdoc.doctor.tables.versions import fits

RULES = {rule.code: rule for rule in all_rules()}


@pytest.mark.parametrize(
    ("code", "machine"),
    [
        pytest.param(code, machine, id=f"{code}-{n}")
        for code, machines in cases.SKIPPED.items()
        for n, machine in enumerate(machines)
    ],
)
def test_nothing_is_said_where_nothing_can_be(code, machine):
    """No extension, no GPU, a torch that was not read, or another rule's fault: skipped, and why."""
    (check,) = RULES[code].run(machine.snapshot)
    assert (Status.SKIPPED, True) == (check.status, bool(check.detail))


@pytest.mark.parametrize(
    ("code", "number", "severity"),
    [
        ("TOR010", 0, Severity.WARNING),
        ("TOR010", 2, Severity.INFO),  # nothing is known about what uses it
        ("TOR011", 0, Severity.ERROR),  # flash-attn
        ("TOR011", 1, Severity.WARNING),  # without a GPU nobody imports it
        ("TOR011", 4, Severity.WARNING),  # xformers goes on
        ("TOR011", 8, Severity.INFO),  # torchao too, and loses little
        ("TOR012", 3, Severity.ERROR),  # torchvision, GPU or not
        ("PKG021", 2, Severity.ERROR),  # safetensors: the training stack
    ],
)
def test_severity_is_what_a_run_would_feel(code, number, severity):
    """An error is what ends a fine-tune; the rest depends on what asks for the extension."""
    assert severity == RULES[code].run(cases.FAILING[code][number].snapshot)[0].severity


def test_an_unknown_distribution_that_loads_in_part_is_a_note():
    """Some of its operators are lost. So is what does not build on torch, such as onnxruntime's part for CUDA."""
    part = cases.library("a.so", undefined=(cases.SYMBOL,), undefined_count=1)
    whole = cases.extension("my-ops", "1.0", (part,))
    in_part = cases.extension("my-ops", "1.0", (part, cases.library("b.so")))
    cuda = cases.library("onnxruntime/capi/libonnxruntime_providers_cuda.so", needed=("libcublas.so.12",))
    onnx = cases.extension("onnxruntime-gpu", "1.22.0", (replace(cuda, missing=("libcublas.so.12",)),))
    severities = [
        RULES[code].run(cases.beside(found).snapshot)[0].severity
        for code, found in (("TOR011", whole), ("TOR011", in_part), ("TOR012", onnx))
    ]
    assert [Severity.WARNING, Severity.INFO, Severity.INFO] == severities


def test_every_library_has_its_passing_line():
    """`check -v` names each library with what was measured."""
    (kernels,) = RULES["TOR010"].run(cases.WHOLE.snapshot)
    (symbols,) = RULES["TOR011"].run(cases.WHOLE.snapshot)
    for name in ("flash-attn 2.8.3", "vllm 0.33.0", "xformers 0.0.35", "torchvision 0.26.0"):
        assert name in kernels.title and name in symbols.title
    assert "(sm_80 sm_90)" in kernels.title and "built for torch 2.10.0+cu128" in symbols.title


def test_the_c_plus_plus_abi_is_named():
    """Symbols that take a std::string of the old or the new ABI say which."""
    old, new = (RULES["TOR011"].run(cases.FAILING["TOR011"][n].snapshot)[0].detail for n in (2, 3))
    assert "cxx11abiFALSE" in old and "cxx11abiTRUE" in new


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("_ZN3c104cuda9SetDeviceEi", "c10::cuda::SetDevice"),
        ("_ZNK3c106SymInt6sym_neERKS0_", "c10::SymInt::sym_ne"),
        ("_ZN3c105ErrorC2ENS_14SourceLocationE", "c10::Error::Error"),
        ("_ZTIN3c105ErrorE", "c10::Error"),
        ("_Z16THPVariable_WrapN2at10TensorBaseE", "THPVariable_Wrap"),
        ("torch_list_size", "torch_list_size"),
        ("_ZN", "_ZN"),
        ("_ZN99short", "_ZN99short"),
    ],
)
def test_symbols_are_readable(symbol, name):
    """The nested name without arguments; what cannot be read so stays as it is."""
    assert name == readable(symbol)


@pytest.mark.parametrize(
    ("torch", "vision"), [("2.9.1+cu128", "0.24.*"), ("2.14.1", "0.29.*"), ("1.13.1", "")]
)
def test_torchvision_follows_torch(torch, vision):
    """The release that is installed again is the one for this torch; for old ones none is named."""
    assert vision == torchvision_for(torch)


def test_the_commands_fit_the_environment():
    """pip where there is pip, uv otherwise; torchvision by its number for this torch."""
    commands = [RULES["TOR012"].run(cases.FAILING["TOR012"][n].snapshot)[0].fix.commands for n in (3, 4)]
    assert (
        '/home/user/env/bin/python -m pip install --force-reinstall --no-deps "torchvision==0.26.*"',
    ) == commands[0]
    assert commands[1][0].startswith("uv pip install --python /home/user/env/bin/python --reinstall")


def test_unknown_extensions_get_a_row_too():
    """What is true of any extension."""
    assert ("warning", False) == (
        extension_use("my-kernels").severity,
        extension_use("my-kernels").is_main("x.so"),
    )


@pytest.mark.parametrize("code", cases.FAILING)
def test_snapshots_from_before_are_skipped(code):
    """A snapshot that an older envdoc wrote tells nothing about extensions."""
    assert Status.SKIPPED is RULES[code].run(recorded("seed-4090"))[0].status


@pytest.mark.parametrize(
    ("version", "specifier", "expected"),
    [
        ("2.9.0a0+145a3a7bda.nv25.10", ">=2.9.0", True),
        ("2.9.0a0+145a3a7bda.nv25.10", "==2.9.0a0+145a3a7bda", True),
        ("2.9.0a0+145a3a7bda.nv25.10", "==2.9.0", True),
        ("2.9.0a0+145a3a7bda.nv25.10", "<2.9", False),
        ("2.9.0a0+145a3a7bda.nv25.10", "==2.8.0", False),
        ("2.9.0a0+145a3a7bda.nv25.10", ">=2.10", False),
        ("2.9.0rc1", ">=2.9.0", False),
        ("2.8.0+cu128", "==2.8.0", True),
        ("2.8.0+cu128", "==2.8.1", False),
    ],
)
def test_a_build_of_the_source_is_taken_for_its_release(version, specifier, expected):
    """NVIDIA's torch has versions below the release that they lead to; metadata means the release."""
    assert expected == fits(version, specifier)


def test_requirements_of_torch_in_the_image_of_nvidia():
    """`torch==2.9.0a0+145a3a7bda` is met by the image's torch, and `torch>=2.10` is not."""
    asking = package("accelerate", "9.0", requires=("torch>=2.10",))
    packages = tuple(p for p in cases.NGC.snapshot.packages if p.name != "accelerate")
    conflicting = cases.NGC.but(packages=(*packages, asking)).snapshot
    assert [Status.OK] == [check.status for check in RULES["PKG002"].run(cases.NGC.snapshot)]
    assert [("accelerate", "torch")] == [check.affects for check in RULES["PKG002"].run(conflicting)]


def test_torch_of_the_image_replaced_is_as_bad_as_what_is_left():
    """A warning where parts that were compiled for the image's torch are there, a note where none is."""
    severities = [
        RULES["TOR015"].run(machine.snapshot)[0].severity for machine in cases.FAILING["TOR015"][:2]
    ]
    assert [Severity.WARNING, Severity.INFO] == severities


def test_no_index_has_wheels_for_a_torch_of_nvidia():
    """Beside the image's torch no command installs torchvision from the index again, and the detail says why."""
    machine = cases.NGC.but(
        extensions=cases.beside(
            cases.extension(
                "torchvision",
                "0.24.0",
                (cases.library("torchvision/_C.so", undefined=(cases.SYMBOL,), undefined_count=1),),
            )
        ).snapshot.extensions
    )
    (check,) = RULES["TOR011"].run(machine.snapshot)
    assert () == check.fix.commands and "build of its own" in check.detail
