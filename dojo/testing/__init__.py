"""What a kata's test may use: the adapter `fw`, data sets, worker processes."""
