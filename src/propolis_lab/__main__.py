"""`python -m propolis_lab`."""

from propolis_lab.cli import main

if __name__ == "__main__":
    main()
