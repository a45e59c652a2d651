"""What a model reaches on a dataset: every table and figure of arXiv:2603.04516, and more."""
