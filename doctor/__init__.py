"""The doctor: looks at a machine from outside the environment it examines, and never imports torch."""
