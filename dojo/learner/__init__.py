"""What a learner has done and does: progress, what is next, a watching session."""
