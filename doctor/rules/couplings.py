"""Rules about versions that no metadata keeps apart; the rows are data in tables/couplings.toml."""
