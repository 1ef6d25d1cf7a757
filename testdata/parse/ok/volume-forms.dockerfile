FROM a
VOLUME /a /b
VOLUME ["/c", " /d "]
VOLUME $V
VOLUME /e  /f
