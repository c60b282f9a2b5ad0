"""Facts: what is here. Collectors read and judge nothing; `snapshot` holds the tree that they fill."""
