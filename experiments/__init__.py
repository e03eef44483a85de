"""Complete experiments: the demonstration and the paper's tables."""
