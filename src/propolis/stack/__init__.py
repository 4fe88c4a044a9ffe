"""The domain: what TheHive, Cassandra, the index and the files are, how they answer, how their files behave."""
