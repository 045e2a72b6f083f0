"""Real processes, real signals, real files: what ends up built, whatever happens meanwhile.

`python -m tests.chaos [PART ...] [--store sqlite|azurite] [--seed N]`, or `make chaos`. The local
cloud, the Functions host with the real app, and Azurite are processes of their own. What is true is
read from ARM's runs and from the images that they made, never from the product.
"""
