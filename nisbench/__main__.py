"""`python -m nisbench` is the command `nisbench`."""

from nisbench.cli import main

if __name__ == "__main__":
    main()
