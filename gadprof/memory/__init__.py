"""How much CUDA memory a model takes, told from its trace without a card."""
