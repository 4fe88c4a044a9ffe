"""What commands that look after a repository found and did."""
