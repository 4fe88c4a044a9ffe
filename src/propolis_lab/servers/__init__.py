"""The servers of a lab: configured, started, asked whether they answer."""
