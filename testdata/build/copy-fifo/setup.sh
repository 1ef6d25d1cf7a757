mkfifo -m 640 p/fifo
