"""Rules about the target interpreter."""
