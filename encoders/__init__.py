"""Records -> vectors: spectrum autoencoder, text embedders, alignment, bundles, evaluation."""
