"""How good an estimator is, and how honest about it."""
