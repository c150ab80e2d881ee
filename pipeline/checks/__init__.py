"""Gates for CI: each prints one line a finding and exits with 0 (fine), 1 (findings) or 2 (could not be checked)."""
