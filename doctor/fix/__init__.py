"""From findings to a plan, and from a plan to a new environment that is checked before it is switched to."""
