"""Waves: who comes before whom, who is looked at again, and how far a wave is."""
