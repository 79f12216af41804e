"""Batches of clips to augmented batches, on the device."""
