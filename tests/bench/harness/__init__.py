"""Side-by-side measurement of proxies: who takes part, what they must do, how they are measured."""
