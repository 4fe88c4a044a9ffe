"""Renderings of result objects: for a person on the console, for a program as JSON. Only this package prints."""
