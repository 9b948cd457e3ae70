"""How the chats of a run are stopped, under StopContact's own quota."""
