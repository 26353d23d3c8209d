"""Floor 4: the server a partner runs. FastAPI, SQLModel, files, time, and partners over HTTP."""
