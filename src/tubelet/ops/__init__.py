"""Functions of tensors: one readable definition each, and faster twins beside it."""
