"""What a probe of a set-up pushes: a scratch image, and the sample that is built on it."""
