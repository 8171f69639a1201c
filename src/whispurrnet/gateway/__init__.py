"""The gateway: REST, a WebSocket of events and the P2P WebSocket, all on one port."""
