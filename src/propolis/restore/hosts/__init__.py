"""What a restore of several hosts needs to know on each of them: whose data it gets, and what all have decided."""
