"""Feature table to nearest neighbours."""
