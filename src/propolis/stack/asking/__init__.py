"""Asking a service over the network: plain JSON over HTTP, TLS, and patience."""
