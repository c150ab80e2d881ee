"""Terms that several objectives share, each a direct transcription of its formula."""
