"""One schema, its loading and the discovery of a stack."""
