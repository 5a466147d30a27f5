"""The hall as real servers with a plant behind them; always its own process."""
