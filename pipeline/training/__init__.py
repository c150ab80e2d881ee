"""Training: the loop, what surrounds it, and the rows that it trains."""
