"""A probe of a set-up: a scratch image is pushed, and what the product does about it is seen."""
