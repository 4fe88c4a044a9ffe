"""Cassandra: what it is asked, what lies in its folders, how its files behave."""
