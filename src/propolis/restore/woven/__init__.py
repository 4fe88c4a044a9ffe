"""A restore of several hosts: each one's part, the verdict that all of them obey, and the coordinator's plan."""
