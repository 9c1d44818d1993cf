"""Talking to upstreams over HTTP: what every provider of either dialect shares."""
