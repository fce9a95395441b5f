"""Models of the Hugging Face Hub: snapshots, the token, and a sentence for whatever goes wrong."""
