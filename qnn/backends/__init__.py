"""Places where circuits run, behind one interface."""
