pytest_plugins = ["dojo.pytest_plugin", "dojo.learner.remembering", "dojo.learner.bare"]
