"""Python finds nothing here: `rampd.ext.image` calls it."""
