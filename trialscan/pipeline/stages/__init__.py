"""The steps of a run, one file each: read what the step needs, call the room that does it, write what it gives."""
