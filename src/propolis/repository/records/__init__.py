"""What is kept about backups beside them: holds, verifications, removals."""
