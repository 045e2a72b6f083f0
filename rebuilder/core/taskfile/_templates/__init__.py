"""Templates: Go's text/template with functions of sprig."""
