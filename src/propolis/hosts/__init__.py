"""The coordinator: one plan over several hosts, each of which has its own part of it."""
