FROM a
RUN --mnt=type=cache x
