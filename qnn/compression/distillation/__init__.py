"""Students that learn what a teacher says."""
