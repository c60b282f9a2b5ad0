"""Probes: what happens when it runs. Each script is started by the target interpreter, alone, and prints JSON."""
