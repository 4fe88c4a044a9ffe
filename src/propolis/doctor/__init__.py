"""Checks of a stack and its repository that touch nothing."""
