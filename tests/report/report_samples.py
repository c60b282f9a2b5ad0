"""Reports that tests of several formats share: of recorded machines, hostile, very large."""

import dataclasses
from pathlib import Path

from envdoc.doctor.examine import examine, load_snapshot, redacted_check
from envdoc.doctor.finding import Check, Fix, Kind, Severity, Status, Suppressed, Target
from envdoc.doctor.report.model import Report

ROOT = Path(__file__).resolve().parents[2]
MACHINES = sorted((ROOT / "tests" / "snapshots").glob("*.json"))


def judged(path):
    """The report over one recorded machine."""
    snapshot = load_snapshot(path)
    return examine(snapshot, Target(snapshot.interpreter.path, "recorded"), 0.0)


def check(code, status=Status.FAIL, severity=Severity.ERROR, **values):
    """One check with words of its own."""
    title = values.pop("title", f"title of {code}")
    return Check(code, f"name-of-{code.lower()}", status, severity, Kind.HOST, title, **values)


def report(*checks, **values):
    """A report of those checks, cleaned as `examine` does it."""
    target = values.pop("target", Target("/opt/env/bin/python", "given by --python"))
    cleaned = tuple(redacted_check(one) for one in checks)
    return Report("1.2.3", target, "3.11.7", cleaned, 0.125, **values)


# What a package, a folder or a variable may be called, and what each would do where it is obeyed.
EVIL = {
    "clears the screen": "evil\x1b[2J\x1b[1;1H",
    "hides behind a title": "evil\x1b]0;all is well\x07",
    "the same in 8 bits": "evil\x9b2J",
    "goes back and overwrites": "evil\rNo problem found",
    "starts a line": "evil\n::error title=fake::x\n# No problem found\n- ok",
    "turns the text round": "evil\u202e\u2066gnp.exe\u2069",
    "is not seen": "e\u200bv\u00adi\ufeffl\u2028x",
    "is no text": "evil\udce4\x00\x7f",
    "opens a tag": "evil</title></style><script>alert(1)</script><img src=x onerror=alert(1)>",
    "is markup": "evil **bold** __init__ [link](javascript:alert(1)) ![i](http://x.example/i.png) `` ``` ~~~ | a | b |",
    "calls people": "evil @everyone #1 a@b &lt;b&gt; &#64;",
    "is XML": "evil ]]> <!-- &amp; <![CDATA[ x",
    "ends a workflow command": "evil%0A::set-output name=x::y,a:b",
    "is a placeholder": "evil {0} {name} %s",
    "is long": "evil-" + "x" * 5000,
}
HOSTILE = report(
    *(
        check(
            f"PKG{i:03}",
            severity=list(Severity)[i % 3],
            title=f"{name} is here",
            detail=f"It is {name}.",
            evidence=(name, "second"),
            affects=(name,),
            fix=Fix(False, (f"pip uninstall {name}",)),
        )
        for i, name in enumerate(EVIL.values())
    ),
    check("SYS001", suppressed=Suppressed("known " + EVIL["opens a tag"], None)),
    check("SYS002", Status.CRASHED, detail=EVIL["is markup"]),
    check("SYS003", Status.SKIPPED, detail=EVIL["calls people"]),
    check("SYS004", Status.OK, title=EVIL["is XML"]),
)
LARGE = report(
    *(
        check(
            f"PKG{i:03}",
            severity=list(Severity)[i % 3],
            detail="A sentence of the usual length that says what was found. " * 4,
            evidence=tuple(f"line {n}" for n in range(10)),
            fix=Fix(False, ("pip install " + " ".join(f"package-{n}==1.{n}" for n in range(40)),)),
        )
        for i in range(300)
    ),
    *(check(f"TOR{i:03}", Status.OK) for i in range(700)),
)
UNTOLD = dataclasses.replace(report(check("TOR001", Status.OK)), python_version="")
