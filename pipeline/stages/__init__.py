"""One module per stage of dvc.yaml: read parameters, call the library, write outputs."""
