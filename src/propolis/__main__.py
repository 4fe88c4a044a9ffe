"""`python -m propolis`."""

from propolis.cli import main

main()
