"""A real browser for the pages that envdoc writes: which one, and how it is started without asking the network."""

import os
import shutil
import subprocess

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = os.environ.get("ENVDOC_TEST_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--disable-sync",
         "--enable-logging=stderr", "--virtual-time-budget=3000")  # fmt: skip
needs_browser = pytest.mark.skipif(
    BROWSER is None,
    reason="no Chromium: `apt-get install chromium`, or name one with ENVDOC_TEST_BROWSER",
)


def run(folder, *arguments):
    """The browser's finished process; its profile lies in `folder`."""
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder}/profile", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
