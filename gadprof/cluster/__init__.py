"""Running on a Dask cluster."""
