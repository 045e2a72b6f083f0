"""ARM templates: their expressions, functions, parameters and resources, as ARM evaluates them."""
