"""Every rule fails where it must, passes where it must, and says so in words that fit."""

import re

import cases_collectors
import cases_deep
import cases_extensions
import cases_host
import cases_integrity
import cases_libraries
import cases_loader
import cases_machine
import cases_machine_settings
import cases_model
import cases_network
import cases_rented
import cases_script
import cases_stack
import cases_surroundings
import pytest
from rule_machines import healthy

from envdoc.doctor.finding import Severity, Status
from envdoc.doctor.rules.registry import all_rules

RULES = {rule.code: rule for rule in all_rules()}
FAILING = {
    **cases_deep.FAILING,
    **cases_extensions.FAILING,
    **cases_collectors.FAILING,
    **cases_host.FAILING,
    **cases_integrity.FAILING,
    **cases_libraries.FAILING,
    **cases_loader.FAILING,
    **cases_machine.FAILING,
    **cases_machine_settings.FAILING,
    **cases_model.FAILING,
    **cases_network.FAILING,
    **cases_rented.FAILING,
    **cases_script.FAILING,
    **cases_stack.FAILING,
    **cases_surroundings.FAILING,
}
PASSING = {
    **cases_deep.PASSING,
    **cases_extensions.PASSING,
    **cases_collectors.PASSING,
    **cases_host.PASSING,
    **cases_integrity.PASSING,
    **cases_libraries.PASSING,
    **cases_loader.PASSING,
    **cases_machine.PASSING,
    **cases_machine_settings.PASSING,
    **cases_model.PASSING,
    **cases_network.PASSING,
    **cases_rented.PASSING,
    **cases_script.PASSING,
    **cases_stack.PASSING,
    **cases_surroundings.PASSING,
}

SKIPPED = {**cases_network.SKIPPED, **cases_rented.SKIPPED, **cases_model.SKIPPED}
SKIPPED = {**cases_network.SKIPPED, **cases_rented.SKIPPED, **cases_script.SKIPPED}

# The rules that judge a probe's result are tested with real probe runs over real old packages, in tests/probes.
PROBED = ("named_issues", "probe_results")
OWN = [code for code, rule in RULES.items() if rule.function.__module__.rpartition(".")[2] not in PROBED]


def each(cases):
    """A parameter a machine: (code, snapshot)."""
    return [
        pytest.param(code, case.snapshot, id=f"{code}-{number}")
        for code, machines in sorted(cases.items())
        for number, case in enumerate(machines)
    ]


def failed(code, snapshot):
    """The failed checks of one rule."""
    return [check for check in RULES[code].run(snapshot) if check.failed]


@pytest.mark.parametrize("code", OWN)
def test_every_rule_has_a_failing_and_a_passing_machine(code):
    """A rule without both kinds of machine is not tested, and may not exist."""
    assert (True, True) == (bool(FAILING.get(code)), bool(PASSING.get(code)))


def test_no_case_is_for_a_rule_that_is_gone():
    """Each case belongs to a registered rule."""
    assert set() == (set(FAILING) | set(PASSING)) - set(RULES)


@pytest.mark.parametrize(("code", "snapshot"), each(FAILING))
def test_rule_fails(code, snapshot):
    """The rule finds its fault on the machine that has it."""
    assert {Status.FAIL} == {check.status for check in RULES[code].run(snapshot)}


@pytest.mark.parametrize(("code", "snapshot"), each(PASSING))
def test_rule_passes(code, snapshot):
    """The rule judges the machine, rather than skipping it, and finds nothing."""
    assert [(Status.OK, "")] == [(check.status, check.detail) for check in RULES[code].run(snapshot)]


@pytest.mark.parametrize(("code", "snapshot"), each(SKIPPED))
def test_rule_skips(code, snapshot):
    """The rule says that it cannot judge, and why; a missing answer is never a finding."""
    (check,) = RULES[code].run(snapshot)
    assert (Status.SKIPPED, True) == (check.status, bool(check.detail))


@pytest.mark.parametrize(("code", "snapshot"), each(FAILING))
def test_words_fit(code, snapshot):
    """Titles stay under 80 characters on one line; nothing is left unfilled; details and commands are there."""
    for check in failed(code, snapshot):
        said = "\n".join((check.title, check.detail, *check.fix.commands, *check.evidence))
        assert len(check.title) < 80, check.title
        assert "\n" not in check.title and not re.search(r"[^.]\.$", check.title)
        assert [] == re.findall(r"\{\w*\}|\bNone\b(?! of)|\bfound\(", said), said
        assert check.detail.rstrip().endswith("."), check.detail
        assert "  " not in said and ".." not in check.detail.replace("...", ""), said


@pytest.mark.parametrize(("code", "snapshot"), each(FAILING))
def test_remedies_fit(code, snapshot):
    """What a lockfile mends is safe and says so; what changes the host is never safe."""
    for check in failed(code, snapshot):
        if check.needs_new_environment:
            assert (True, ("envdoc fix --apply",)) == (check.fix.safe, check.fix.commands)
        else:
            assert not check.fix.safe
            assert "envdoc fix --apply" not in check.fix.commands


@pytest.mark.parametrize(
    ("code", "number", "severity"),
    [
        ("DRV001", 0, Severity.ERROR),
        ("DRV001", 3, Severity.WARNING),  # torch is a CPU build: its owner expects no GPU
        ("DRV002", 0, Severity.ERROR),
        ("DRV002", 1, Severity.WARNING),
        ("DRV003", 0, Severity.ERROR),
        ("DRV003", 2, Severity.INFO),
        ("DRV011", 0, Severity.INFO),
        ("DRV011", 2, Severity.ERROR),  # PTX is all that torch has for this GPU
        ("GPU001", 0, Severity.INFO),  # also where torch was made for one: every CUDA profile runs on a CPU
        ("GPU001", 1, Severity.INFO),
        ("GPU003", 0, Severity.INFO),
        ("GPU003", 1, Severity.ERROR),
        ("CFG010", 0, Severity.INFO),
        ("CFG010", 1, Severity.WARNING),
        ("CFG011", 0, Severity.WARNING),
        ("CFG011", 1, Severity.ERROR),
        ("CFG020", 0, Severity.WARNING),
        ("CFG040", 0, Severity.ERROR),
        ("CFG040", 1, Severity.WARNING),  # a copy with a version of its own was laid there on purpose
        ("CFG042", 0, Severity.WARNING),
        ("CFG042", 1, Severity.INFO),  # base is active in every shell
        ("CFG044", 0, Severity.WARNING),
        ("CFG044", 1, Severity.INFO),  # torch asks for no library of that name
        ("CFG046", 1, Severity.ERROR),
        ("CFG048", 0, Severity.WARNING),
        ("CFG060", 0, Severity.ERROR),  # an older cuDNN is refused
        ("CFG060", 1, Severity.ERROR),  # a symbol is missing
        ("CFG060", 2, Severity.WARNING),
        ("CFG060", 3, Severity.INFO),  # newer, of the same major release
        ("CFG060", 4, Severity.WARNING),  # nothing tells the release
        ("CFG060", 6, Severity.ERROR),  # parts of another cuDNN, beside torch's own libcudnn
        ("CFG060", 7, Severity.INFO),  # a newer cuDNN as a whole
        ("CFG060", 8, Severity.INFO),  # older than the wheel's, and of torch's own CUDA
        ("CFG060", 9, Severity.WARNING),  # forced
        ("CFG062", 0, Severity.ERROR),
        ("CFG062", 1, Severity.WARNING),
        ("SYS060", 0, Severity.INFO),
        ("SYS060", 1, Severity.WARNING),
        ("CFG065", 1, Severity.INFO),
        ("CFG066", 0, Severity.WARNING),
        ("CFG066", 1, Severity.INFO),
        ("CFG067", 0, Severity.ERROR),  # numpy cannot be loaded
        ("CFG067", 1, Severity.WARNING),
        ("CFG069", 0, Severity.WARNING),
        ("CFG069", 1, Severity.ERROR),
        ("CFG071", 0, Severity.WARNING),
        ("CFG071", 3, Severity.INFO),  # the target has a kernel by another name
        ("CFG072", 0, Severity.WARNING),
        ("CFG072", 1, Severity.INFO),
        ("CFG048", 1, Severity.INFO),
        ("CFG020", 1, Severity.INFO),
        ("TOR007", 0, Severity.WARNING),
        ("TOR007", 1, Severity.INFO),
        ("PKG002", 0, Severity.ERROR),
        ("PKG002", 2, Severity.WARNING),
        ("PKG004", 0, Severity.WARNING),
        ("PKG004", 2, Severity.INFO),
        ("PKG005", 0, Severity.ERROR),
        ("PKG005", 2, Severity.INFO),
        ("NET002", 0, Severity.WARNING),
        ("NET002", 1, Severity.INFO),
        ("NET006", 0, Severity.INFO),
        ("NET006", 1, Severity.WARNING),
        ("PKG011", 0, Severity.ERROR),
        ("PKG011", 1, Severity.WARNING),
        ("PKG011", 2, Severity.WARNING),
        ("PKG011", 3, Severity.INFO),
        ("PKG014", 0, Severity.ERROR),
        ("PKG014", 1, Severity.WARNING),
        ("TRF010", 0, Severity.INFO),
        ("TRF010", 1, Severity.WARNING),
        ("PFT010", 0, Severity.ERROR),
        ("PKG035", 0, Severity.WARNING),
        ("PKG035", 1, Severity.ERROR),
        ("PKG035", 2, Severity.INFO),
        ("PKG040", 0, Severity.WARNING),
        ("PKG040", 3, Severity.INFO),
        ("PKG044", 0, Severity.WARNING),
        ("PKG044", 1, Severity.INFO),
        ("PKG047", 0, Severity.ERROR),
        ("PKG047", 1, Severity.INFO),
        ("PKG046", 0, Severity.WARNING),
        ("PKG046", 1, Severity.INFO),
        ("PKG015", 0, Severity.WARNING),
        ("PKG015", 2, Severity.INFO),
        ("SYS001", 2, Severity.INFO),
        ("SYS001", 3, Severity.WARNING),
        ("SYS040", 0, Severity.INFO),
        ("SYS040", 2, Severity.WARNING),
        ("TOK022", 0, Severity.ERROR),
        ("TOK022", 1, Severity.WARNING),  # the other file has the right end
        ("TOK022", 2, Severity.WARNING),
        ("TOK023", 0, Severity.ERROR),
        ("TOK023", 1, Severity.WARNING),  # there is a row, which nobody has trained
        ("TRF024", 0, Severity.ERROR),
        ("TRF024", 1, Severity.WARNING),
        ("TRF027", 0, Severity.INFO),
        ("TRF027", 1, Severity.WARNING),
        ("TRF029", 0, Severity.ERROR),
        ("TRF029", 1, Severity.WARNING),
        ("TRF002", 0, Severity.WARNING),
        ("TRF002", 1, Severity.ERROR),
    ],
)
def test_severity_follows_the_consequence(code, number, severity):
    """The same fault weighs more where it stops a run."""
    assert {severity} == {check.severity for check in failed(code, FAILING[code][number].snapshot)}


def test_old_rules_follow_the_model_of_the_loader():
    """What the loader keeps out is a note; what it takes is CFG060's alone."""
    (note,) = failed("CFG044", cases_loader.KEPT_OUT.snapshot)
    assert (Severity.INFO, True) == (note.severity, "takes none of them" in note.detail)
    assert [] == failed("CFG044", cases_loader.TAKEN.snapshot)
    assert 1 == len(failed("CFG060", cases_loader.TAKEN.snapshot))


def test_the_newest_version_that_is_missing_is_named():
    """Numbers are compared as numbers, and a release has at most three of them: four look like an address."""
    (check,) = failed("CFG061", FAILING["CFG061"][0].snapshot)
    assert "LD_LIBRARY_PATH brings in a libstdc++.so.6 without GLIBCXX_3.4.30" == check.title
    (check,) = failed("CFG060", FAILING["CFG060"][0].snapshot)
    assert "LD_LIBRARY_PATH gives torch cuDNN 9.1.0 instead of 9.19.0" == check.title


def test_the_remedy_keeps_the_other_folders():
    """Only the folder in question leaves LD_LIBRARY_PATH."""
    (check,) = failed("CFG060", FAILING["CFG060"][0].snapshot)
    assert ("export LD_LIBRARY_PATH=/opt/tools/lib",) == check.fix.commands
    (check,) = failed("CFG060", FAILING["CFG060"][9].snapshot)
    assert ("unset LD_PRELOAD",) == check.fix.commands


def test_healthy_machine_fails_nothing():
    """The healthy machine has no finding of any severity."""
    assert [] == [check.title for rule in RULES.values() for check in rule.run(healthy()) if check.failed]


def test_cpu_container_on_a_gpu_host_is_healthy():
    """A pod without GPU on a machine that has one: torch's CPU build is right there, and one info says the rest."""
    checks = [
        check for rule in RULES.values() for check in rule.run(cases_host.CPU_POD.snapshot) if check.failed
    ]
    assert [("DRV003", Severity.INFO)] == [
        (c.code, c.severity) for c in checks if c.code[:3] in ("DRV", "GPU", "TOR")
    ]


def test_old_libcuda_before_a_new_driver_is_named():
    """The title does not call a driver too old that is new enough; the detail says which library is in the way."""
    (check,) = failed("DRV010", FAILING["DRV010"][3].snapshot)
    assert "Driver library of CUDA 12.4 is too old for torch 2.11.0+cu130 (needs 580)" == check.title
    assert "The kernel driver 580.95.05 itself is new enough" in check.detail


@pytest.mark.parametrize("code", sorted(FAILING))
def test_an_interpreter_that_does_not_answer_is_one_finding(code):
    """Rules about packages are skipped, not failed, where nothing is known about them."""
    snapshot = cases_libraries.FAILING["CFG001"][0].but(packages=(), torch=None, bitsandbytes=None).snapshot
    assert code == "CFG001" or [] == failed(code, snapshot)


def test_the_last_libraries_of_a_python_that_do_not_go_together_are_named():
    """Python 3.8's last peft lays no adapter on 8-bit layers of its last bitsandbytes; 3.10's have no such pair."""
    old, newer = [failed("CFG002", case.snapshot)[0].detail for case in FAILING["CFG002"]]
    assert "but peft 0.13.2 and bitsandbytes 0.45.5 lay no adapter on 8-bit layers" in old
    assert "They work together. Newer models" in newer


def test_titles_name_both_sides():
    """The sentences that users will paste, word for word."""
    assert [
        "torch 2.0.1+cu117 has no kernels for sm_90 (NVIDIA H100 80GB HBM3)",
        "Driver 470.57.02 is too old for torch 2.11.0+cu130 (needs 580)",
        "bitsandbytes 0.45.5 has no library for CUDA 13.0 of torch 2.11.0+cu130",
        "transformers 5.23.0 disables torch 2.4.1+cu121: it wants torch>=2.6",
        "transformers 4.38.2 and accelerate 1.2.1 cannot train together",
        "peft 0.17.1 and transformers 5.0.0 cannot be imported together",
        "transformers 5.23.0 wants peft>=0.20.0, and 0.19.1 is there",
        "torch 2.0.1+cu117 cannot use numpy 2.0.2: it needs numpy<2",
        "CUDA toolkit 12.4 beside torch 2.0.1+cu117: only compiling would notice",
        "torch 2.11.0 lacks nvidia-nccl-cu13 and 1 more",
        "triton 3.2.0 cannot compile kernels without setuptools",
    ] == [
        failed(code, FAILING[code][number].snapshot)[0].title
        for code, number in (
            ("TOR003", 0),
            ("DRV010", 0),
            ("BNB002", 0),
            ("TRF001", 0),
            ("TRF003", 0),
            ("PFT001", 2),
            ("TRF002", 0),
            ("TOR006", 0),
            ("CFG010", 0),
            ("PKG001", 1),
            ("PKG009", 1),
        )
    ]
