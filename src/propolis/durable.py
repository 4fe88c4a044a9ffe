"""New files that survive a power cut."""
