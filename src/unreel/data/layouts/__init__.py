"""Standard data sets as they lie on a disk: their official annotation files, one module each."""
