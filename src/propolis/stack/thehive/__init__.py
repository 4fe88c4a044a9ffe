"""TheHive itself: what it is asked, how it says it is, what it keeps in folders of its own."""
