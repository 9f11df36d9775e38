"""What only contributors run, on copies of the project."""
