"""What stress/bench/bench is made of."""
