"""Named full configurations, one file per paper."""
