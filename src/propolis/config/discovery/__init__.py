"""What `propolis init` finds out: TheHive's file first, then the servers that it names."""
