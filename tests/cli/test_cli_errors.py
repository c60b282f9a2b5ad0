"""Bad input: one sentence, a hint, exit code 2, no traceback, nothing on standard output."""

import pytest

CASES = {
    "no interpreter there": (["check", "--python", "/no/such/python"], "There is no interpreter"),
    "an interpreter that is none": (["check", "--quick", "--python", "{file}"], ""),
    "a format unknown": (["check", "--quick", "--format", "xml"], "`--format xml` is none of"),
    "a level unknown": (["check", "--quick", "--fail-on", "fatal"], "`--fail-on fatal` is none of"),
    "a prefix unknown": (
        ["check", "--quick", "--select", "QQQ"],
        "No rule has a code that starts with `QQQ`",
    ),
    "a snapshot that is missing": (["check", "--facts", "/no/such.json"], "cannot be read"),
    "a snapshot that is no JSON": (["check", "--facts", "{file}"], "is not JSON"),
    "a snapshot from the future": (["check", "--facts", "{future}"], "schema_version 99"),
    "a code unknown": (["explain", "XYZ999"], "There is no rule, no known issue and no idea `XYZ999`"),
    "a log that is missing": (["why", "/no/such.log"], "cannot be read"),
    "a run file that is missing": (["train", "missing.yaml"], "There is no run file `missing.yaml`"),
    "two run files": (["train", "{file}", "{future}"], "Two run files"),
    "training with an interpreter that is none": (["train", "--python", "{file}"], "file.json"),
    "an adapter that is missing": (["verify", "no-adapter"], "There is no adapter folder"),
    "no generation to enter": (["run", "--", "python"], "There is no current generation"),
    "nothing to go back to": (["rollback"], ""),
    "a profile unknown": (["fix", "--profile", "py27-torch01"], "py27-torch01"),
    "an option unknown": (["check", "--no-such-option"], "--no-such-option"),
    "a command unknown": (["chekc"], "chekc"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case, envdoc, tmp_path):
    """The sentence names what was given; the exit code is 2 (1 where an interpreter was judged)."""
    (tmp_path / "file.json").write_text("no JSON", encoding="utf-8")
    (tmp_path / "future.json").write_text('{"schema_version": 99}', encoding="utf-8")
    names = {"file": tmp_path / "file.json", "future": tmp_path / "future.json"}
    arguments, expected = CASES[case]

    done = envdoc(*(argument.format(**names) for argument in arguments))

    assert "Traceback" not in done.stderr + done.stdout
    if case == "an interpreter that is none":
        assert 1 == done.returncode  # a broken interpreter is a finding of the check, not misuse
        assert "file.json" in done.stdout
        return
    assert 2 == done.returncode, done.stderr
    assert done.stderr.startswith("error: ")
    assert expected in done.stderr
    assert "" == done.stdout
