"""The fused kernel."""
