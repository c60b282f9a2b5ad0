"""Rules: what the facts mean. Pure functions from a snapshot to problems; `registry` holds them all."""
