"""One paper or baseline per file."""
