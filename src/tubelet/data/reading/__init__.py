"""From a file, bytes or an address to frames: whatever stands between a source and its pixels."""
