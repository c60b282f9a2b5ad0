"""Rules about installed distributions: what is missing, in conflict, doubled or half installed."""
