"""S3 servers: what the stack's bucket and a repository in a bucket have in common."""
