"""Networks without training."""
