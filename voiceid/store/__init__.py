"""What is on disk: tables, keys, ledger. Only `biometrics.py` writes voices, and only `enrollment` may import it."""
