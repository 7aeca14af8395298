"""Networks: gadprof's own designs as plans, and what a plan becomes: a module, a cost, a trace."""
