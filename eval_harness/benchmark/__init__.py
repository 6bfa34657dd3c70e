"""The benchmark: methods × selectors × budgets × sources × seeds, to one table with intervals."""
