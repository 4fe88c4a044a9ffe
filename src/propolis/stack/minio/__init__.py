"""MinIO, where it is the stack's own: what it is asked, what lies in its folders, who holds its keys."""
