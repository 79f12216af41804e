"""Encoder to feature table."""
