"""`python -m batchwrap` is the command `batchwrap`."""

from batchwrap.cli import main

if __name__ == "__main__":
    main()
