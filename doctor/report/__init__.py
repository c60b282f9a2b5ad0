"""Reports: one file a format, each a function `render(report) -> str`. They see findings and nothing else."""

from importlib import import_module
from typing import Callable, Dict

from envdoc.doctor.report.model import Report

FORMATS: Dict[str, str] = {
    "text": "text",
    "json": "json_document",
    "markdown": "markdown",
    "sarif": "sarif",
    "junit": "junit",
    "github": "github",
    "gitlab": "gitlab",
    "html": "html_page",
}


def renderer(name: str) -> Callable[[Report], str]:
    """The `render` function of that format; its module is imported only now. Raises KeyError on a name unknown."""
    render: Callable[[Report], str] = import_module(f"envdoc.doctor.report.{FORMATS[name]}").render
    return render
