"""Providers: the contract, the hooks that plugins implement, the registry, and the catalogue of models."""
