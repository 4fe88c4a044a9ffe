"""Which backups there are, in the order in which they were made."""
