"""Who may use a repository, and who does."""
