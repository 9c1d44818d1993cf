"""Living under systemd: what it hands over, what it is told, its journal, its units."""
