"""A restore of several hosts: the plan of each one, and the coordinator's, woven of them."""
