"""The agent: Propolis on a host of a run, driven over its standard input and output."""
