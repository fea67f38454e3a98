"""neuroinverse: find the biophysical parameters behind a recording."""
