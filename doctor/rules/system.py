"""Rules about the operating system: disk, memory, shared memory, limits, locale."""
