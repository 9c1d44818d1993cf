"""The front door: what clients reach over HTTP."""
