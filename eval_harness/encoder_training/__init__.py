"""From a pool and a language model to an encoder, with the evidence of how good it is."""
