"""`envdoc lock`: a user's own packages on top of a proved profile: resolved, hashed, built, trained in, kept."""
