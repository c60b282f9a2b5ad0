"""`envdoc data`: is this data set fit to train on? One pass over the rows, then the comparisons between them.

survey ─> readers, shapes ─> texts, scripts (one row)  ─> lengths, same, near (all rows) ─> show
      └─> measure (tokens of a row, or an estimate)

Nothing here imports torch unless a model is named. What is kept of a row is a hundred bytes of hashes, whatever its
length, so that a million rows fit into memory.
"""
