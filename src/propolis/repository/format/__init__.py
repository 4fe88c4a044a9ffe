"""What the bytes of a repository mean."""
