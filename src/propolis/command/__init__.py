"""What commands that change a stack share: context, service steps, lock, journal and watchdog."""
