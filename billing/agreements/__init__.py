"""What each tenant has agreed to pay: published rate cards, and agreements with phases. Measures and rates nothing."""
