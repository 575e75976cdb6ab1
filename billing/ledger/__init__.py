"""The double-entry journal of revenue and cost, credits, and what they come to. Measures and rates nothing."""
