"""``python -m unreel`` is the command ``unreel``."""

from unreel.cli.main import main

if __name__ == "__main__":
    main()
