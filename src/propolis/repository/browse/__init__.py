"""Looks into backups: what differs, where a file lies, single files out of one."""
