"""How `scripts/lock` makes a profile: resolve, prove, write. One idea a file; it imports envdoc for its tables."""
