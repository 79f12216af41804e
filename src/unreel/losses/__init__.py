"""Pure functions: tensors in, a scalar out."""
