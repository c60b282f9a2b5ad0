"""`envdoc.doctor.check()`, called as a notebook calls it: from another process, in the interpreter to examine."""

import json
import re
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
import envdoc.doctor
light = sorted(name for name in sys.modules if name.startswith("envdoc.") and name != "envdoc.doctor")
rich = [name for name in ("rich", "typer", "envdoc.doctor.cli") if name in sys.modules]
shown = envdoc.doctor.check(*sys.argv[1:2], quick=True)
print(json.dumps({
    "light": light, "rich": rich, "html": shown._repr_html_(), "text": repr(shown), "str": str(shown),
    "json": json.loads(shown.render("json")), "codes": [c.code for c in shown.failures],
    "checks": len(shown.checks), "me": sys.executable, "torch": "torch" in sys.modules,
}))
"""


@pytest.fixture
def cell(tmp_path):
    """A function that runs the script with an optional interpreter to examine, and returns what it printed."""

    def run(*arguments):
        command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert 0 == done.returncode, done.stderr
        return json.loads(done.stdout)

    return run


def test_importing_is_light(cell):
    """`import envdoc.doctor` brings in no other module of ours, and neither rich nor typer nor torch."""
    told = cell()

    assert ([], [], False) == (told["light"], told["rich"], told["torch"])


def test_the_caller_is_examined(cell):
    """Without an argument the target is the interpreter that the call runs in."""
    told = cell()

    assert "the interpreter that this runs in" == told["json"]["target"]["reason"]
    assert "TOR001" in told["codes"]  # the tests' own environment has no torch
    assert told["checks"] == len(told["json"]["checks"])


def test_it_shows_itself(cell):
    """As text it is what `envdoc check` prints; as HTML one element that leaves the rest of the page alone."""
    told = cell()
    page = told["html"]

    assert told["text"] == told["str"]
    assert told["text"].startswith("Examined ")
    assert "TOR001" in told["text"]
    assert page.startswith('<div class="envdoc">') and page.rstrip().endswith("</div>")
    assert "TOR001" in page
    assert "<html" not in page and "<body" not in page and "<script" not in page
    style = re.sub(r"@media [^{]*\{", "", page[page.index("<style>") + 7 : page.index("</style>")])
    rules = [rule.strip() for rule in style.split("}")]
    assert [] == [rule for rule in rules if rule and not rule.startswith(".envdoc")]


def test_another_interpreter_is_examined(cell, patient):
    """A path is as good as with `--python`."""
    told = cell(patient)

    assert "TOR001" not in told["codes"]
    assert "named in the call" == told["json"]["target"]["reason"]


def test_an_interpreter_that_is_missing(tmp_path):
    """The error is envdoc's own, with its sentence."""
    script = "import envdoc.doctor; envdoc.doctor.check('/no/such/python')"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert 1 == done.returncode
    assert "envdoc.doctor.errors.TargetError: There is no interpreter" in done.stderr


def test_in_a_real_notebook(tmp_path, monkeypatch):
    """Jupyter runs a cell and keeps the report as HTML, Markdown and text, and displays nothing else."""
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    kernel = tmp_path / "kernels" / "here"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    cell = nbformat.v4.new_code_cell("import envdoc.doctor\nenvdoc.doctor.check(quick=True)")
    notebook = nbformat.v4.new_notebook(cells=[cell])

    NotebookClient(
        notebook, timeout=120, kernel_name="here", resources={"metadata": {"path": tmp_path}}
    ).execute()
    (shown,) = notebook.cells[0].outputs

    assert "execute_result" == shown.output_type
    assert shown.data["text/html"].startswith('<div class="envdoc">')
    assert shown.data["text/markdown"].startswith("## envdoc check")
    assert shown.data["text/plain"].startswith("Examined ")
    assert "TOR001" in shown.data["text/html"]
