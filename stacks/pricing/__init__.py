"""A monthly cost estimate from the resources of a plan, by price tables that name their day and source.

`estimators` says what of a resource is paid for and how much of it, `tables` what a unit costs, `estimate` adds up.
What no estimator knows, or no table prices, is named as unknown: it is never counted as nothing.
"""
