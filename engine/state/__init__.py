"""Where the columns live: allocation, growth, external ids, and rows as the log keeps them."""
