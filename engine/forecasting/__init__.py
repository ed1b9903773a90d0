"""Sensing: windows over telemetry, forecasts with their uncertainty, and what may break."""
