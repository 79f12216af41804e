"""Learn representations from unlabelled video and put them to use."""

__version__ = "0.1.0"
