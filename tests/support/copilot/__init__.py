"""A fake GitHub and a fake Copilot: real servers that know each other's tokens, with their hostilities."""
