"""What a file has beside its name and bytes: attributes, access lists, holes; and what of it could not be kept."""
