"""Running katas, each in a process of its own: a job, the runner, the warm process, limits."""
