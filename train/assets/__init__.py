"""Data of the pipeline: the default run and the bundled instructions (written for envdoc; Apache-2.0)."""
