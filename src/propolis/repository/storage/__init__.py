"""Objects by name: in a folder, in a bucket, locked, or as they were."""
