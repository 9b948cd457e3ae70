"""QuotaProbe: finds both limits with as few chats as it can."""
