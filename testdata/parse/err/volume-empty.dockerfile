FROM a
VOLUME ["/a", ""]
VOLUME [" "]
