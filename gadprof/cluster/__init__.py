"""Commands on a Dask cluster: ``transport`` reaches it, ``tasks`` run there, ``run`` hands them out
and checks what comes back, ``journal`` keeps it, ``clients`` are the commands.
"""
