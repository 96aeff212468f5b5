"""`python -m fedidoc`: the same as the `fedidoc` command."""

from fedidoc.cli import main

if __name__ == "__main__":
    main()
