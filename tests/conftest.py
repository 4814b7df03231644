"""What every test may use: `harness` is importable because this folder is on the path."""
