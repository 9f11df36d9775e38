"""What there is to practise, read from files: katas, levels, questions, mistakes, stubs."""
