"""The pure routing engine: commands in, effects out, time as an argument."""
