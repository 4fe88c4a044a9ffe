"""Keys, and what is encrypted with them; knows no repository."""
