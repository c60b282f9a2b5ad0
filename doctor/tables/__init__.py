"""Reference data with its source and date, as TOML, and a small typed loader for each table."""
