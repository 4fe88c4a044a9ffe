"""How services are started and stopped: one small module a platform."""
