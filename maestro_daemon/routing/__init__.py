"""Choosing targets and trying them in turn. Knows providers, never HTTP."""
