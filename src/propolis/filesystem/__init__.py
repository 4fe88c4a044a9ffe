"""What a file has beside its name and bytes: attributes, access lists, holes; what can't be kept of it; new files."""
