"""Writers over the result model, one module each."""
