"""What can be set in the emulator, and what AWS documents."""
