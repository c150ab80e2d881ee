"""Training objectives, one file each: `loss(model, batch) -> (loss, {name: value to log})`."""
