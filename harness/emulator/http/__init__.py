"""The emulator on the wire: HTTP, websockets, faults."""
