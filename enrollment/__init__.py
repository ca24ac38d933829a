"""Remember and forget: the only writer of biometrics."""
