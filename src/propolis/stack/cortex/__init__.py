"""Cortex: what it is asked, what lies in its folders."""
